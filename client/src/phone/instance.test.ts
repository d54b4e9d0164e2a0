import { act, renderHook } from '@testing-library/react';
import { afterEach, expect, it, vi } from 'vitest';
import { phone, usePhone } from './instance';

afterEach(() => {
  vi.unstubAllGlobals();
});

it('renders a component again when its part of the state changes', async () => {
  vi.stubGlobal('isSecureContext', false);
  const { result, unmount } = renderHook(() => usePhone(({ line }) => line));
  expect(result.current).toEqual({ name: 'offline', error: null });
  await act(() => phone.goOnline());
  expect(result.current).toMatchObject({ name: 'offline', error: { cause: 'insecure-page' } });
  act(() => phone.reset());
  expect(result.current).toEqual({ name: 'offline', error: null });
  unmount();
});

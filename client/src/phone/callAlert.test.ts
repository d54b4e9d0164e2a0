import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { t } from '../strings';
import { alertCall, requestNotificationPermission, TITLE_CHANGES_EVERY_MS } from './callAlert';

const FLASH = t.phone.incoming.flash('Ada');

/** The notifications of a browser; the test clicks on them. */
class FakeNotification {
  static permission: NotificationPermission = 'granted';
  static readonly requestPermission = vi.fn(async () => 'granted' as const);
  static shown: FakeNotification[] = [];
  readonly title: string;
  readonly options: NotificationOptions;
  onclick: (() => void) | null = null;
  isClosed = false;

  constructor(title: string, options: NotificationOptions) {
    this.title = title;
    this.options = options;
    FakeNotification.shown.push(this);
  }
  close() {
    this.isClosed = true;
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('Notification', FakeNotification);
  FakeNotification.permission = 'granted';
  FakeNotification.shown = [];
  FakeNotification.requestPermission.mockClear();
  document.title = 'CallBurner';
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('an alert', () => {
  it('flashes in the title until it is stopped', () => {
    const stop = alertCall('CA1', 'Ada');
    expect(document.title).toBe(FLASH);
    vi.advanceTimersByTime(TITLE_CHANGES_EVERY_MS);
    expect(document.title).toBe('CallBurner');
    vi.advanceTimersByTime(TITLE_CHANGES_EVERY_MS);
    expect(document.title).toBe(FLASH);
    stop();
    expect(document.title).toBe('CallBurner');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps a title that another screen set meanwhile', () => {
    const stop = alertCall('CA1', 'Ada');
    document.title = 'Calls';
    vi.advanceTimersByTime(TITLE_CHANGES_EVERY_MS);
    expect(document.title).toBe(FLASH);
    stop();
    expect(document.title).toBe('Calls');
  });

  it('shows a notification, which brings the page to the front', () => {
    const focus = vi.spyOn(window, 'focus').mockImplementation(() => undefined);
    const stop = alertCall('CA1', 'Ada');
    const [notification] = FakeNotification.shown;
    expect(notification).toMatchObject({
      title: t.phone.incoming.title,
      options: { body: 'Ada', tag: 'CA1', requireInteraction: true },
      isClosed: false,
    });
    notification?.onclick?.();
    expect(focus).toHaveBeenCalledOnce();
    expect(notification?.isClosed).toBe(true);
    stop();
    focus.mockRestore();
  });

  it('closes its notification', () => {
    alertCall('CA1', 'Ada')();
    expect(FakeNotification.shown.map(({ isClosed }) => isClosed)).toEqual([true]);
  });

  it.each(['denied', 'default'] as const)('shows none if the permission is %s', (permission) => {
    FakeNotification.permission = permission;
    alertCall('CA1', 'Ada')();
    expect(FakeNotification.shown).toEqual([]);
  });

  it('goes on in a browser that lets pages show none', () => {
    vi.stubGlobal(
      'Notification',
      class {
        static permission = 'granted';
        constructor() {
          throw new TypeError('Illegal constructor');
        }
      },
    );
    const stop = alertCall('CA1', 'Ada');
    expect(document.title).toBe(FLASH);
    stop();
  });
});

describe('the permission to notify', () => {
  it.each([
    ['default', 1],
    ['granted', 0],
    ['denied', 0],
  ] as const)('%s is asked for %i times', (permission, times) => {
    FakeNotification.permission = permission;
    requestNotificationPermission();
    expect(FakeNotification.requestPermission).toHaveBeenCalledTimes(times);
  });
});

/** What this page's telephone is doing, for whoever shows it. Changed by the driver alone. */
import { createStore, useStore } from 'zustand';
import { fold, type Phone, type PhoneEvent, QUIET } from './phone';

export const phoneStore = createStore<Phone>(() => QUIET);

/** Something happened. */
export const tell = (event: PhoneEvent) =>
  phoneStore.setState((phone) => fold(phone, event, Date.now()));

/** A part of the phone, kept up to date while the component is there. */
export const usePhone = <T>(select: (phone: Phone) => T): T => useStore(phoneStore, select);

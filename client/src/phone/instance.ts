/** Creates the page's one phone, and connects it to the browser, the server and the live link. */
import { useStore } from 'zustand';
import { holdLink, listen, listenAgain, liveStore } from '../live/store';
import { readPreference } from '../preferences/preferences';
import { missingSupport, requestMicrophone } from './browserSupport';
import { alertCall, requestNotificationPermission } from './callAlert';
import { createSdkDevice } from './device';
import { watchEnvironment } from './environment';
import { notifyMissedCall } from './missedCall';
import { Phone } from './phone';
import type { PhoneState } from './phoneState';
import { Ringer } from './ringer';
import { phoneServer } from './server';
import { callWaiting, ringBack, unlockSounds } from './sounds';
import { claimTabName } from './tabName';

export const phone = new Phone({
  createDevice: createSdkDevice,
  server: phoneServer,
  live: {
    statusOf: (sid) => liveStore.getState().calls[sid]?.status ?? null,
    follow: (sid, onChange) => {
      const leave = listen(sid);
      const unsubscribe = liveStore.subscribe(onChange);
      return () => {
        unsubscribe();
        leave();
      };
    },
    listenAgain,
    hold: holdLink,
  },
  browser: {
    missing: missingSupport,
    prepareAlerts: () => {
      requestNotificationPermission();
      unlockSounds();
    },
    requestMicrophone,
    claimTabName,
  },
  watchEnvironment,
  openChannel: (name) => new BroadcastChannel(name),
  ringer: new Ringer({ locks: navigator.locks, alert: alertCall }),
  sounds: { ringBack, callWaiting },
  chosenDevice: readPreference,
  onMissed: (sid, party) => void notifyMissedCall(sid, party),
  newId: () => crypto.randomUUID(),
  chance: Math.random,
});

/** Selects a part of the phone's state; the component renders again when it changes. */
export const usePhone = <T>(select: (state: PhoneState) => T): T => useStore(phone.store, select);

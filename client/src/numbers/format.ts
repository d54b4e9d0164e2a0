/** Formats telephone numbers. The numbering plans load on first use. */
import { useEffect, useState } from 'react';

/** The library with the numbering plans of all countries. */
export type Library = typeof import('libphonenumber-js/min');

let library: Library | undefined;
let loading: Promise<Library> | undefined;

/** Loads the numbering plans, which are a chunk of their own. */
export function loadNumbers(): Promise<Library> {
  loading ??= import('libphonenumber-js/min').then(
    (loaded) => {
      library = loaded;
      return loaded;
    },
    (failure) => {
      loading = undefined;
      throw failure;
    },
  );
  return loading;
}

/**
 * Formats `+14155550100` as `+1 415 555 0100`. Other texts stay as they are, and so do numbers until
 * the plans have loaded.
 */
export function formatParty(party: string): string {
  if (!library || !party.startsWith('+')) return party;
  return library.parsePhoneNumberFromString(party)?.formatInternational() ?? party;
}

/** The numbering plans, once loaded. */
export function useNumbers(): Library | undefined {
  const [plans, setPlans] = useState(library);
  useEffect(() => {
    loadNumbers().then(setPlans, () => undefined);
  }, []);
  return plans;
}

/** `formatParty`, for components: they render again once the plans have loaded. */
export function useFormatParty(): (party: string) => string {
  useNumbers();
  return formatParty;
}

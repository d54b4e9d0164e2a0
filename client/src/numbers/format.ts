/** Telephone numbers as people write them. The knowledge of all countries comes when first needed. */
import { useEffect, useState } from 'react';

/** The numbering plans of the world. */
export type Library = typeof import('libphonenumber-js/min');

let library: Library | undefined;
let coming: Promise<Library> | undefined;

/** The numbering plans of the world: a chunk of its own. */
export function loadNumbers(): Promise<Library> {
  coming ??= import('libphonenumber-js/min').then(
    (loaded) => {
      library = loaded;
      return loaded;
    },
    (failure) => {
      coming = undefined;
      throw failure;
    },
  );
  return coming;
}

/** `+1 415 555 0100` of `+14155550100`; anything else, and any number until the plans are there, as it is. */
export function formatParty(party: string): string {
  if (!library || !party.startsWith('+')) return party;
  return library.parsePhoneNumberFromString(party)?.formatInternational() ?? party;
}

/** The plans, once they are there. */
export function useNumbers(): Library | undefined {
  const [plans, setPlans] = useState(library);
  useEffect(() => {
    loadNumbers().then(setPlans, () => undefined);
  }, []);
  return plans;
}

/** Writes parties for people; what uses it shows them anew once the plans are there. */
export function useFormatParty(): (party: string) => string {
  useNumbers();
  return formatParty;
}

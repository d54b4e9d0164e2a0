/** Rings for a call in one tab of this browser at a time. */

/** Stops what was started. */
export type Stop = () => void;

export interface RingerDeps {
  /** Absent on insecure pages, where there is no microphone either. */
  locks: Pick<LockManager, 'request'> | undefined;
  /** Alerts the user to the call in this tab. */
  alert: (callSid: string, party: string) => Stop;
}

export class Ringer {
  readonly #deps: RingerDeps;

  constructor(deps: RingerDeps) {
    this.#deps = deps;
  }

  /**
   * Rings until the returned function is called: in this tab, or in another one that has the same
   * call, and in this one after that has stopped.
   *
   * @param callSid the SID that all tabs know the call by
   */
  start(callSid: string, party: string): Stop {
    const { locks, alert } = this.#deps;
    const stopped = new AbortController();
    let release: Stop = () => {};
    const ringHere = () => {
      if (stopped.signal.aborted) return undefined;
      const stopAlert = alert(callSid, party);
      return new Promise<void>((done) => {
        release = () => {
          stopAlert();
          done();
        };
      });
    };
    if (locks)
      locks
        .request(`callburner.ringing.${callSid}`, { signal: stopped.signal }, ringHere)
        .catch(() => undefined); // Stopped while another tab rang.
    else void ringHere();
    return () => {
      stopped.abort();
      release();
    };
  }
}

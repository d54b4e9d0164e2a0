/**
 * Reports to the server that this browser is registered at Twilio, so that incoming calls ring it:
 * after each registration, with each new access token, and whenever the server may have restarted.
 * Decides when; the requests are passed in.
 */
import { ApiError } from '../api/client';
import { backoffMs } from '../live/backoff';

/** The body of a report. */
export interface RegistrationBody {
  /** Identifies the registration: a new one each time that the page goes online. */
  id: string;
  /** The name of this tab. */
  browser: string;
  /** The end of the access token that the browser registered with. */
  expiresAt: string;
}

export interface RegistrationOptions {
  /** Rejects with an `ApiError`. */
  register: (body: RegistrationBody) => Promise<unknown>;
  /** Never rejects. */
  unregister: (id: string) => Promise<unknown>;
  /** Called when the server rings this browser from now on. */
  onRegistered: () => void;
  /** Called after each failure. The report is repeated in a while, unless that is useless. */
  onFailed: (thrown: unknown) => void;
  newId: () => string;
  /** Returns 0 to 1. */
  chance: () => number;
}

/** Tells whether the same report would fail again. */
const isFinal = (thrown: unknown) =>
  thrown instanceof ApiError && (thrown.status === 401 || thrown.code === 'pass_over');

export class Registration {
  readonly #options: RegistrationOptions;
  #body: RegistrationBody | undefined;
  /** The report that is on its way to the server. */
  #sending: Promise<void> | undefined;
  #isToRepeat = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** Reports that the browser is registered with an access token that ends at `expiresAt`. */
  begin(browser: string, expiresAt: string) {
    this.#body = { id: this.#body?.id ?? this.#options.newId(), browser, expiresAt };
    this.repeat();
  }

  /** Reports once more: the server may have restarted. Does nothing without a registration. */
  repeat() {
    clearTimeout(this.#retry);
    if (this.#sending) this.#isToRepeat = true;
    else if (this.#body) this.#sending = this.#send(this.#body);
  }

  /** Reports that the browser is not registered any more. */
  end() {
    clearTimeout(this.#retry);
    const { id } = this.#body ?? {};
    this.#body = undefined;
    this.#isToRepeat = false;
    this.#failures = 0;
    if (id === undefined) return;
    const unregister = () => this.#options.unregister(id);
    // At once, since the page may be closing; and again in case the server gets the other first.
    void unregister();
    void this.#sending?.then(unregister);
  }

  async #send(body: RegistrationBody): Promise<void> {
    const isCurrent = () => this.#body?.id === body.id;
    try {
      await this.#options.register(body);
      this.#failures = 0;
      if (isCurrent()) this.#options.onRegistered();
    } catch (thrown) {
      this.#failures += 1;
      if (isCurrent() && !isFinal(thrown)) this.#waitAndSend();
      if (isCurrent()) this.#options.onFailed(thrown);
    }
    this.#sending = undefined;
    if (!this.#isToRepeat) return;
    this.#isToRepeat = false;
    this.repeat();
  }

  #waitAndSend() {
    const ms = backoffMs(this.#failures, this.#options.chance());
    this.#retry = setTimeout(() => this.repeat(), ms);
  }
}

/**
 * Tells the server that this page's browser is registered at Twilio, so that incoming calls ring it:
 * once it is, with each further pass, and whenever the server may have restarted. Decides when; what
 * carries it is passed in.
 */
import { ApiError } from '../api/client';
import { waitMs } from '../live/backoff';

/** What the server is told. */
export interface Told {
  /** Names the registration: another one each time that the page goes online. */
  id: string;
  /** What this tab calls itself. */
  browser: string;
  /** When the pass ends that the browser registered with. */
  expiresAt: string;
}

export interface RegistrationOptions {
  /** Rejects with an `ApiError`. */
  register: (told: Told) => Promise<unknown>;
  /** Never rejects. */
  unregister: (id: string) => Promise<unknown>;
  /** The server rings this browser from now on. */
  onTold: () => void;
  /** The server did not take it. Unless its answer makes that useless, it is told again in a while. */
  onFailed: (thrown: unknown) => void;
  newId: () => string;
  /** 0 to 1. */
  chance: () => number;
}

/** Answers after which the same words are of no use. */
const isFinal = (thrown: unknown) =>
  thrown instanceof ApiError && (thrown.status === 401 || thrown.code === 'pass_over');

export class Registration {
  readonly #options: RegistrationOptions;
  #told: Told | undefined;
  /** What is on its way to the server. */
  #telling: Promise<void> | undefined;
  #isToRepeat = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RegistrationOptions) {
    this.#options = options;
  }

  /** The browser is registered with a pass that ends then. */
  begin(browser: string, expiresAt: string) {
    this.#told = { id: this.#told?.id ?? this.#options.newId(), browser, expiresAt };
    this.repeat();
  }

  /** Says it once more: the server may have restarted. Nothing happens without a registration. */
  repeat() {
    clearTimeout(this.#retry);
    if (this.#telling) this.#isToRepeat = true;
    else if (this.#told) this.#telling = this.#tell(this.#told);
  }

  /** The browser is not registered any more. */
  end() {
    clearTimeout(this.#retry);
    const { id } = this.#told ?? {};
    this.#told = undefined;
    this.#isToRepeat = false;
    this.#failures = 0;
    if (id === undefined) return;
    const unregister = () => this.#options.unregister(id);
    // At once, since the page may be on its way out; and again if the server hears the other first.
    void unregister();
    void this.#telling?.then(unregister);
  }

  async #tell(told: Told): Promise<void> {
    const isMine = () => this.#told?.id === told.id;
    try {
      await this.#options.register(told);
      this.#failures = 0;
      if (isMine()) this.#options.onTold();
    } catch (thrown) {
      this.#failures += 1;
      if (isMine() && !isFinal(thrown)) this.#waitAndTell();
      if (isMine()) this.#options.onFailed(thrown);
    }
    this.#telling = undefined;
    if (!this.#isToRepeat) return;
    this.#isToRepeat = false;
    this.repeat();
  }

  #waitAndTell() {
    const ms = waitMs(this.#failures, this.#options.chance());
    this.#retry = setTimeout(() => this.repeat(), ms);
  }
}

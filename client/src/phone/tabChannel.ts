/** Shares decisions about ringing calls among the tabs of this browser. */

const NAME = 'callburner.ringing';

export type Decision = 'answered' | 'rejected' | 'ignored';

/** The message that tabs send. */
interface DecisionMessage {
  decision: Decision;
  /** The SID that all tabs know the call by. */
  call: string;
}

/** The part of a `BroadcastChannel` that is used. */
export interface Channel {
  onmessage: ((message: MessageEvent<unknown>) => void) | null;
  postMessage: (message: unknown) => void;
  close: () => void;
}

export type OpenChannel = (name: string) => Channel;

export class TabChannel {
  readonly #open: OpenChannel;
  #channel: Channel | undefined;

  constructor(open: OpenChannel) {
    this.#open = open;
  }

  /** Reports decisions of other tabs until the returned function is called. */
  listen(onDecision: (callSid: string, decision: Decision) => void): () => void {
    const channel = this.#open(NAME);
    channel.onmessage = ({ data }) => {
      if (isDecisionMessage(data)) onDecision(data.call, data.decision);
    };
    this.#channel = channel;
    return () => {
      channel.close();
      if (this.#channel === channel) this.#channel = undefined;
    };
  }

  /** Sends a decision to the other tabs, while this one listens. */
  send(callSid: string, decision: Decision) {
    this.#channel?.postMessage({ decision, call: callSid } satisfies DecisionMessage);
  }
}

const isDecisionMessage = (data: unknown): data is DecisionMessage =>
  typeof data === 'object' &&
  data !== null &&
  'call' in data &&
  typeof data.call === 'string' &&
  'decision' in data &&
  (data.decision === 'answered' || data.decision === 'rejected' || data.decision === 'ignored');

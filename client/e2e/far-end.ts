/** The far end of a call: a real RTCPeerConnection in a page of its own, which beeps. */
import type { Browser, Page } from '@playwright/test';

declare global {
  interface Window {
    far: { connection: RTCPeerConnection; track: MediaStreamTrack; analyser: AnalyserNode };
  }
}

/** Without this payload type the SDK sends digits over its signalling, where a test sees them. */
const withoutTelephoneEvents = (sdp: string) =>
  sdp
    .split('\r\n')
    .filter((line) => !line.includes('telephone-event'))
    .join('\r\n');

export class FarEnd {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  /** Answers the SDP offer of the browser. */
  async answer(offer: string): Promise<string> {
    await this.#open();
    const sdp = await this.#page.evaluate(async (sdp) => {
      const { connection } = window.far;
      await connection.setRemoteDescription({ type: 'offer', sdp });
      await connection.setLocalDescription(await connection.createAnswer());
      await gathered();
      return connection.localDescription?.sdp ?? '';
      function gathered() {
        return new Promise<void>((done) => {
          const look = () => connection.iceGatheringState === 'complete' && done();
          connection.addEventListener('icegatheringstatechange', look);
          look();
        });
      }
    }, offer);
    return withoutTelephoneEvents(sdp);
  }

  /** Creates the SDP offer for the browser that is called. */
  async offer(): Promise<string> {
    await this.#open();
    return this.#page.evaluate(async () => {
      const { connection } = window.far;
      await connection.setLocalDescription(await connection.createOffer());
      await new Promise<void>((done) => {
        const look = () => connection.iceGatheringState === 'complete' && done();
        connection.addEventListener('icegatheringstatechange', look);
        look();
      });
      return connection.localDescription?.sdp ?? '';
    });
  }

  /** Applies the SDP answer of the browser. */
  async acceptAnswer(answer: string): Promise<void> {
    await this.#page.evaluate(
      (sdp) => window.far.connection.setRemoteDescription({ type: 'answer', sdp }),
      answer,
    );
  }

  /** Starts or stops sending audio packets. */
  async send(isOn: boolean): Promise<void> {
    await this.#page.evaluate(async (isOn) => {
      const { connection, track } = window.far;
      await connection.getSenders()[0]?.replaceTrack(isOn ? track : null);
    }, isOn);
  }

  /** Listens for a second; returns the peak level, from 0 to 1. */
  async loudness(): Promise<number> {
    return this.#page.evaluate(async () => {
      const { analyser } = window.far;
      const samples = new Float32Array(analyser.fftSize);
      const until = performance.now() + 1_000;
      let loudest = 0;
      while (performance.now() < until) {
        await new Promise(requestAnimationFrame);
        analyser.getFloatTimeDomainData(samples);
        loudest = Math.max(loudest, ...samples);
      }
      return Number(loudest.toFixed(3));
    });
  }

  /** Closes its browser context, which frees a microphone. */
  async close(): Promise<void> {
    await this.#page.context().close();
  }

  async #open() {
    await this.#page.evaluate(async () => {
      window.far?.connection.close();
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const [track] = stream.getAudioTracks();
      if (!track) throw new Error('no microphone');
      const connection = new RTCPeerConnection();
      connection.addTrack(track, stream);
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      connection.ontrack = ({ track: theirs }) => {
        const sound = new MediaStream([theirs]);
        // Browsers decode only audio that is also played.
        const player = new Audio();
        player.srcObject = sound;
        player.muted = true;
        void player.play();
        context.createMediaStreamSource(sound).connect(analyser);
      };
      window.far = { connection, track, analyser };
    });
  }
}

/** Opens a far end in a browser context of its own, isolated from the tested page. */
export async function openFarEnd(browser: Browser, url: string): Promise<FarEnd> {
  const context = await browser.newContext({ permissions: ['microphone'] });
  const page = await context.newPage();
  // Any page of this machine: the microphone requires a secure origin.
  await page.goto(`${url}/healthz`);
  return new FarEnd(page);
}

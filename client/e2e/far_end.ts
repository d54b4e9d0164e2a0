/** The other end of a call: a real RTCPeerConnection, in a page of its own, that beeps. */
import type { Browser, Page } from '@playwright/test';

declare global {
  interface Window {
    far: { connection: RTCPeerConnection; track: MediaStreamTrack; analyser: AnalyserNode };
  }
}

/** Without this payload the SDK sends keys over its signalling, where a test can hear them. */
const withoutKeys = (sdp: string) =>
  sdp
    .split('\r\n')
    .filter((line) => !line.includes('telephone-event'))
    .join('\r\n');

export class FarEnd {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  /** An answer to what the browser offers. */
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
    return withoutKeys(sdp);
  }

  /** An offer, to be answered by the browser that is called. */
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

  /** The browser's answer to it. */
  async take(answer: string): Promise<void> {
    await this.#page.evaluate(
      (sdp) => window.far.connection.setRemoteDescription({ type: 'answer', sdp }),
      answer,
    );
  }

  /** Sends sound, or not a packet more. */
  async send(isOn: boolean): Promise<void> {
    await this.#page.evaluate(async (isOn) => {
      const { connection, track } = window.far;
      await connection.getSenders()[0]?.replaceTrack(isOn ? track : null);
    }, isOn);
  }

  /** Listens for a second: how loud the loudest of it was, 0 to 1. */
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
        // Only what is also played is decoded.
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

/** In a browser context of its own: what happens to the page's does not touch it. */
export async function openFarEnd(browser: Browser, url: string): Promise<FarEnd> {
  const context = await browser.newContext({ permissions: ['microphone'] });
  const page = await context.newPage();
  // Any page of this machine's: others have no microphone.
  await page.goto(`${url}/healthz`);
  return new FarEnd(page);
}

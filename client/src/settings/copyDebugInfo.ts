/** Collects the debug info, and copies it. */
import { ApiError } from '../api/client';
import { queries, sessionQuery, settingsQuery } from '../api/queries';
import { liveStore } from '../live/store';
import { phone } from '../phone/instance';
import { readPreferences } from '../preferences/preferences';
import { readConnectivity } from '../session/connectivity';
import { t } from '../strings';
import { showError, showToast } from '../ui/toasts';
import { type DebugPart, debugInfo, type Facts } from './debugInfo';

/** Copies the debug info to the clipboard, and shows a toast. */
export async function copyDebugInfo(failure?: unknown) {
  try {
    await navigator.clipboard.writeText(debugInfo(partsOf(failure), new Date()));
    showToast(t.settings.debug.copied);
  } catch {
    showError(t.settings.debug.notCopied);
  }
}

function partsOf(failure: unknown): readonly DebugPart[] {
  return [
    ...(failure === undefined ? [] : [{ heading: 'Failure', facts: failureFacts(failure) }]),
    { heading: 'Browser', facts: browserFacts() },
    { heading: 'Server', facts: serverFacts() },
    { heading: 'Live', facts: liveFacts() },
    { heading: 'Phone', facts: phoneFacts() },
  ];
}

function failureFacts(failure: unknown): Facts {
  if (failure instanceof ApiError)
    return { code: failure.code, status: failure.status, requestId: failure.requestId };
  return failure instanceof Error
    ? { error: String(failure), stack: failure.stack }
    : { error: typeof failure };
}

function browserFacts(): Facts {
  const { theme, textSize, announceWords, shortcuts } = readPreferences();
  return {
    browser: navigator.userAgent,
    language: navigator.language,
    online: navigator.onLine,
    secureContext: window.isSecureContext,
    window: `${window.innerWidth}x${window.innerHeight} at ${window.devicePixelRatio}`,
    path: window.location.pathname,
    theme,
    textSize,
    announceWords,
    shortcuts,
  };
}

function serverFacts(): Facts {
  const session = queries.getQueryData(sessionQuery.queryKey);
  const settings = queries.getQueryData(settingsQuery.queryKey);
  return {
    version: settings?.version,
    model: settings?.model,
    transcription: settings?.transcriptionSource,
    twilioReady: settings?.twilio.ready,
    responds: readConnectivity().isReached,
    session: session?.open ? 'open' : (session?.user?.role ?? 'nobody'),
  };
}

function phoneFacts(): Facts {
  const { line, call, incoming } = phone.store.getState();
  return {
    line: line.name,
    call: call?.sid,
    stage: call?.stage.name,
    muted: call?.muted,
    ringing: incoming.length,
  };
}

function liveFacts(): Facts {
  const { link, calls } = liveStore.getState();
  const facts = Object.values(calls).map((call) => [
    call.sid,
    `${call.status ?? 'no status'}, offset ${call.offset}, engine ${call.engine}, lag ${call.lagMs} ms, recording ${call.recording ?? 'none'}, missed ${call.partialsMissed}`,
  ]);
  return { link, ...Object.fromEntries(facts) };
}

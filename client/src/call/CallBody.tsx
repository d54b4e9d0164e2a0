/** The transcript of a live call, with the notes beside it, or above it on small screens. */
import { t } from '../strings';
import css from './CallBody.module.css';
import { CallNotes } from './CallNotes';
import { LiveTranscript } from './LiveTranscript';

export function CallBody({ callSid }: { callSid: string }) {
  return (
    <div className={css.body}>
      <LiveTranscript callSid={callSid} />
      <section className={css.aside} aria-label={t.call.details}>
        <CallNotes callSid={callSid} />
      </section>
    </div>
  );
}

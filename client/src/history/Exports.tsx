/** Downloads of the transcript, which the server formats and names. */
import { t } from '../strings';
import { Button } from '../ui/controls';
import controls from '../ui/controls.module.css';
import details from '../ui/details.module.css';
import css from './Details.module.css';

const FORMATS = ['txt', 'srt', 'vtt', 'json'] as const;

export function Exports({ sid, onCopy }: { sid: string; onCopy: () => void }) {
  const strings = t.calls.exports;
  return (
    <section className={details.section}>
      <h2>{strings.title}</h2>
      <div className={css.formats}>
        {FORMATS.map((format) => (
          <a
            key={format}
            className={controls.button}
            data-look="plain"
            href={`/api/calls/${encodeURIComponent(sid)}/transcript.${format}`}
            download
            aria-label={strings.download(strings.formats[format])}
          >
            {strings.formats[format]}
          </a>
        ))}
        <Button look="quiet" icon="copy" onClick={onCopy}>
          {t.calls.transcript.copy}
        </Button>
      </div>
    </section>
  );
}

/** The bar above a live transcript: keywords, delay and the copy button. */
import { useMemo } from 'react';
import { Link } from 'wouter';
import { useLiveCall } from '../live/store';
import { t } from '../strings';
import { countKeywords, type Marker } from '../transcript/keywords';
import { Button, Chip } from '../ui/controls';
import { copyText } from '../ui/copyText';
import { Icon } from '../ui/icons';
import { lagMsOf, secondsOf } from './liveStats';
import css from './TranscriptBar.module.css';

export function TranscriptBar({
  callSid,
  keywords,
  marker,
  textOf,
}: {
  callSid: string;
  keywords: readonly string[];
  marker: Marker | undefined;
  /** Returns the whole transcript as plain text. */
  textOf: () => string;
}) {
  const segments = useLiveCall(callSid, (call) => call.segments);
  const skipped = useLiveCall(callSid, (call) => call.partialsMissed) ?? 0;
  const lagMs = useMemo(() => lagMsOf(segments ?? []), [segments]);
  const counts = useMemo(() => {
    const texts = segments?.filter(({ echo }) => !echo).map(({ text }) => text) ?? [];
    return marker ? countKeywords(keywords, marker, texts) : [];
  }, [segments, keywords, marker]);
  return (
    <div className={css.bar}>
      <ul className={css.keywords} aria-label={t.call.words.keywords}>
        {counts.map(({ keyword, times }) => (
          <li key={keyword}>
            <Chip tone="accent">
              {keyword} {t.call.words.count(times)}
            </Chip>
          </li>
        ))}
      </ul>
      {skipped > 0 && (
        <span className={css.lag} title={t.call.words.skippedHint(skipped)}>
          {t.call.words.skipped}
        </span>
      )}
      {lagMs !== undefined && (
        <span className={css.lag} title={t.call.words.lagHint(secondsOf(lagMs))}>
          {t.call.words.lag(secondsOf(lagMs))}
        </span>
      )}
      <Link className={css.action} href="/settings#keywords" title={t.call.words.keywordsHint}>
        <Icon name="tag" />
        <span className={css.name}>{t.call.words.keywords}</span>
      </Link>
      <Button
        look="quiet"
        icon="copy"
        disabled={!segments?.length}
        onClick={() => copyText(textOf())}
      >
        <span className={css.name}>{t.call.words.copyAll}</span>
      </Button>
    </div>
  );
}

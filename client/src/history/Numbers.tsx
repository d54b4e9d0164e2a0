/** The figures of a talk, and what they mean. */
import { useMemo } from 'react';
import type { Segment, Speaker } from '../api/types';
import type { Names } from '../call/TranscriptLine';
import { clockTime } from '../format';
import type { Talk } from '../player/speech';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { type Analysis, analyse, type Party } from './analysis';
import css from './Details.module.css';

const SPEAKERS: readonly Speaker[] = ['customer', 'agent'];

export function Numbers({
  talk,
  segments,
  names,
  onSeek,
}: {
  talk: Talk;
  segments: readonly Segment[];
  names: Names;
  onSeek: (timeMs: number) => void;
}) {
  const strings = t.calls.numbers;
  const { parties, longestSilence } = useMemo(() => analyse(talk, segments), [talk, segments]);
  return (
    <section className={css.section}>
      <h2>{strings.title}</h2>
      <Share parties={parties} names={names} />
      <table className={css.figures}>
        <thead>
          <tr>
            <td />
            {SPEAKERS.map((speaker) => (
              <th key={speaker} scope="col">
                {names[speaker]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Row title={strings.talk} about={strings.definitions.talk} parties={parties}>
            {({ talkMs }) => clockTime(talkMs)}
          </Row>
          <Row title={strings.pace} about={strings.definitions.pace} parties={parties}>
            {({ wordsPerMinute: pace }) => (pace === null ? strings.none : strings.rounded(pace))}
          </Row>
          <Row
            title={strings.interruptions}
            about={strings.definitions.interruptions}
            parties={parties}
          >
            {({ interruptions }) => strings.rounded(interruptions)}
          </Row>
        </tbody>
      </table>
      <p className={css.silence} title={strings.definitions.silence}>
        <span>{strings.silence}</span>
        {longestSilence ? (
          <Button
            look="quiet"
            title={strings.goTo(clockTime(longestSilence.startMs))}
            onClick={() => onSeek(longestSilence.startMs)}
          >
            {strings.seconds(longestSilence.endMs - longestSilence.startMs)}
          </Button>
        ) : (
          <span>{strings.none}</span>
        )}
      </p>
      <details>
        <summary>{strings.how}</summary>
        <dl className={css.definitions}>
          {(['talk', 'pace', 'interruptions', 'silence'] as const).map((figure) => (
            <div key={figure}>
              <dt>{strings[figure]}</dt>
              <dd>{strings.definitions[figure]}</dd>
            </div>
          ))}
        </dl>
      </details>
    </section>
  );
}

function Row({
  title,
  about,
  parties,
  children,
}: {
  title: string;
  about: string;
  parties: Analysis['parties'];
  children: (party: Party) => string;
}) {
  return (
    <tr title={about}>
      <th scope="row">{title}</th>
      {SPEAKERS.map((speaker) => (
        <td key={speaker}>{children(parties[speaker])}</td>
      ))}
    </tr>
  );
}

/** Who talked how much, in words and as a bar. */
function Share({ parties, names }: { parties: Analysis['parties']; names: Names }) {
  const strings = t.calls.numbers;
  return (
    <div>
      <p className={css.ratio}>
        {SPEAKERS.map((speaker) => (
          <span key={speaker}>{strings.ratio(names[speaker], parties[speaker].share)}</span>
        ))}
      </p>
      <div className={css.share} aria-hidden="true">
        {SPEAKERS.map((speaker) => (
          <span key={speaker} data-speaker={speaker} style={{ flexGrow: parties[speaker].share }} />
        ))}
      </div>
    </div>
  );
}

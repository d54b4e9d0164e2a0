/** Statistics of the conversation, with their definitions. */
import { type ReactNode, useMemo } from 'react';
import type { Segment, Speaker } from '../api/types';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import type { Span, Talk } from '../player/speech';
import { t } from '../strings';
import { Button } from '../ui/controls';
import details from '../ui/details.module.css';
import css from './Details.module.css';
import { type PartyStats, type TalkStats as Stats, statsOf } from './statistics';

const SPEAKERS: readonly Speaker[] = ['customer', 'agent'];

const strings = t.calls.stats;

export function TalkStats({
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
  const { parties, longestSilence } = useMemo(() => statsOf(talk, segments), [talk, segments]);
  return (
    <section className={details.section}>
      <h2>{strings.title}</h2>
      <TalkShare parties={parties} names={names} />
      <PartyTable parties={parties} names={names} />
      <LongestSilence silence={longestSilence} onSeek={onSeek} />
      <Definitions />
    </section>
  );
}

interface PartiesProps {
  parties: Stats['parties'];
  names: Names;
}

/** The share of each party, as text and as a bar. */
function TalkShare({ parties, names }: PartiesProps) {
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

function PartyTable({ parties, names }: PartiesProps) {
  const { definitions } = strings;
  return (
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
        <Row title={strings.talk} definition={definitions.talk} parties={parties}>
          {({ talkMs }) => clockTime(talkMs)}
        </Row>
        <Row title={strings.pace} definition={definitions.pace} parties={parties}>
          {({ wordsPerMinute: pace }) => (pace === null ? strings.none : strings.rounded(pace))}
        </Row>
        <Row title={strings.interruptions} definition={definitions.interruptions} parties={parties}>
          {({ interruptions }) => strings.rounded(interruptions)}
        </Row>
      </tbody>
    </table>
  );
}

function Row({
  title,
  definition,
  parties,
  children,
}: {
  title: string;
  definition: string;
  parties: Stats['parties'];
  children: (party: PartyStats) => ReactNode;
}) {
  return (
    <tr title={definition}>
      <th scope="row">{title}</th>
      {SPEAKERS.map((speaker) => (
        <td key={speaker}>{children(parties[speaker])}</td>
      ))}
    </tr>
  );
}

function LongestSilence({
  silence,
  onSeek,
}: {
  silence: Span | null;
  onSeek: (timeMs: number) => void;
}) {
  return (
    <p className={css.silence} title={strings.definitions.silence}>
      <span>{strings.silence}</span>
      {silence ? (
        <Button
          look="quiet"
          title={strings.goTo(clockTime(silence.startMs))}
          onClick={() => onSeek(silence.startMs)}
        >
          {strings.seconds(silence.endMs - silence.startMs)}
        </Button>
      ) : (
        <span>{strings.none}</span>
      )}
    </p>
  );
}

const Definitions = () => (
  <details>
    <summary>{strings.how}</summary>
    <dl className={css.definitions}>
      {(['talk', 'pace', 'interruptions', 'silence'] as const).map((name) => (
        <div key={name}>
          <dt>{strings[name]}</dt>
          <dd>{strings.definitions[name]}</dd>
        </div>
      ))}
    </dl>
  </details>
);

/** The transcript of a stored call: a click on a word plays from there. */
import { memo, type Ref } from 'react';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import { t } from '../strings';
import { type Marker, wordsMarked } from '../transcript/keywords';
import { doOverlap, TranscriptLine } from '../transcript/TranscriptLine';
import css from './StoredTranscript.module.css';
import { type Line, type Talk, UNSURE_BELOW } from './speech';

interface StoredTranscriptProps {
  talk: Talk;
  names: Names;
  marker?: Marker | undefined;
  /** A word was clicked, or the time beside a line was pressed. */
  onPlay: (timeMs: number) => void;
  ref?: Ref<HTMLOListElement>;
}

/** Renders once; `useWordMarks.ts` marks words in the document. */
export const StoredTranscript = memo(function StoredTranscript({
  talk,
  names,
  marker,
  onPlay,
  ref,
}: StoredTranscriptProps) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the times are buttons, and keys move by word
    <ol
      ref={ref}
      className={css.lines}
      aria-label={t.calls.transcript.label}
      onClick={(event) => {
        const at = wordIndexOf(event.target);
        const word = at === null ? undefined : talk.words[at];
        // A selection of text is not a click on a word.
        if (word && window.getSelection()?.isCollapsed !== false) onPlay(word.startMs);
      }}
    >
      {talk.lines.map((line, at) => (
        <OneLine
          key={line.segment.id}
          line={line}
          talk={talk}
          names={names}
          marker={marker}
          before={talk.lines[at - 1]?.segment}
          onPlay={onPlay}
        />
      ))}
    </ol>
  );
});

function OneLine({
  line: { segment, first, count },
  talk,
  names,
  marker,
  before,
  onPlay,
}: {
  line: Line;
  talk: Talk;
  names: Names;
  marker: Marker | undefined;
  /** The line above. */
  before: Line['segment'] | undefined;
  onPlay: (timeMs: number) => void;
}) {
  const clock = clockTime(segment.startMs);
  const name = names[segment.speaker];
  const words = talk.words.slice(first, first + count);
  const texts = words.map(({ text }) => text);
  const marked = marker ? wordsMarked(texts, marker) : [];
  const time = (
    <button
      type="button"
      className={css.time}
      aria-label={t.calls.transcript.playFrom(clock, name)}
      onClick={() => onPlay(talk.words[first]?.startMs ?? segment.startMs)}
    >
      {clock}
    </button>
  );
  return (
    <li className={css.line}>
      <TranscriptLine
        id={segment.id}
        speaker={segment.speaker}
        name={before?.speaker === segment.speaker ? undefined : name}
        time={time}
        overlaps={doOverlap(before, segment)}
        isMissing={!segment.transcribed}
        isEcho={segment.echo}
        language={segment.language}
      >
        {words.length > 0 &&
          words.map((word, at) => (
            <Word
              // biome-ignore lint/suspicious/noArrayIndexKey: words have no other key than their index
              key={first + at}
              at={first + at}
              word={word}
              isFirst={at === 0}
              isKeyword={marked[at] === true}
            />
          ))}
      </TranscriptLine>
    </li>
  );
}

function Word({
  at,
  word,
  isFirst,
  isKeyword,
}: {
  at: number;
  word: Talk['words'][number];
  isFirst: boolean;
  isKeyword: boolean;
}) {
  const Element = isKeyword ? 'mark' : 'span';
  const isUnsure = word.confidence !== null && word.confidence < UNSURE_BELOW;
  return (
    <>
      {!isFirst && ' '}
      <Element className={css.word} data-word={at} data-unsure={isUnsure || undefined}>
        {word.text}
      </Element>
    </>
  );
}

function wordIndexOf(target: EventTarget): number | null {
  const word = target instanceof Element ? target.closest<HTMLElement>('[data-word]') : null;
  return word ? Number(word.dataset.word) : null;
}

/** The settled words of a call, each of which can be heard. All of them are on the page. */
import { memo, type Ref } from 'react';
import { type Marker, wordsMarked } from '../call/keywords';
import { isAtOnce, type Names, TranscriptLine } from '../call/TranscriptLine';
import { clockTime } from '../format';
import { t } from '../strings';
import { type Line, type Talk, UNSURE_BELOW } from './speech';
import css from './Transcript.module.css';

interface TranscriptProps {
  talk: Talk;
  names: Names;
  /** Marks keywords. */
  marker?: Marker | undefined;
  /** A word was clicked, or the time beside a line was pressed. */
  onHear: (timeMs: number) => void;
  ref?: Ref<HTMLOListElement>;
}

/** Drawn once: words are marked from outside. */
export const Transcript = memo(function Transcript({
  talk,
  names,
  marker,
  onHear,
  ref,
}: TranscriptProps) {
  return (
    // One ear for all words. By keyboard, times are buttons, and keys go from word to word.
    // biome-ignore lint/a11y/useKeyWithClickEvents: see above
    <ol
      ref={ref}
      className={css.lines}
      aria-label={t.calls.transcript.label}
      onClick={(event) => {
        const at = wordUnder(event.target);
        const word = at === null ? undefined : talk.words[at];
        // Whoever selects text does not want to hear it.
        if (word && window.getSelection()?.isCollapsed !== false) onHear(word.startMs);
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
          onHear={onHear}
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
  onHear,
}: {
  line: Line;
  talk: Talk;
  names: Names;
  marker: Marker | undefined;
  /** The line above. */
  before: Line['segment'] | undefined;
  onHear: (timeMs: number) => void;
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
      aria-label={t.calls.transcript.hearFrom(clock, name)}
      onClick={() => onHear(talk.words[first]?.startMs ?? segment.startMs)}
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
        isOver={isAtOnce(before, segment)}
        isMissing={!segment.transcribed}
        isEcho={segment.echo}
        language={segment.language}
      >
        {words.length > 0 &&
          words.map((word, at) => (
            <Word
              // biome-ignore lint/suspicious/noArrayIndexKey: a word's place is its name
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

function wordUnder(target: EventTarget): number | null {
  const word = target instanceof Element ? target.closest<HTMLElement>('[data-word]') : null;
  return word ? Number(word.dataset.word) : null;
}

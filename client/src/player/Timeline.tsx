/** The timeline: one lane of speech for each party, and the position of the player. */
import { memo, useEffect, useRef } from 'react';
import type { Speaker } from '../api/types';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import { t } from '../strings';
import { type Player, usePlayer } from './player';
import type { Talk } from './speech';
import css from './Timeline.module.css';
import { boxesOf, LANE_HEIGHT, shareOf, WIDTH } from './timelineGeometry';

const SPEAKERS: readonly Speaker[] = ['customer', 'agent'];

export function Timeline({ player, talk, names }: { player: Player; talk: Talk; names: Names }) {
  const durationMs = usePlayer(player, (state) => state.durationMs);
  // The slider moves by the second; the playhead moves with every frame.
  const second = usePlayer(player, (state) => Math.floor(state.timeMs / 1_000));
  const playhead = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const move = () => {
      const { timeMs, durationMs } = player.store.getState();
      if (playhead.current) playhead.current.style.left = `${100 * shareOf(timeMs, durationMs)}%`;
    };
    move();
    return player.store.subscribe(move);
  }, [player]);
  return (
    // Time runs from left to right in every language.
    <div className={css.timeline} dir="ltr">
      <div className={css.names} aria-hidden="true">
        {SPEAKERS.map((speaker) => (
          <span key={speaker} data-speaker={speaker}>
            {names[speaker]}
          </span>
        ))}
      </div>
      <div className={css.track}>
        <Lanes talk={talk} durationMs={durationMs} />
        <span ref={playhead} className={css.head} />
        <input
          type="range"
          // The shortcuts of the page move it by seconds; its own steps are too small.
          data-keys="page"
          className={css.range}
          aria-label={t.calls.player.position}
          aria-valuetext={t.calls.player.at(clockTime(second * 1_000), clockTime(durationMs))}
          min={0}
          max={Math.ceil(durationMs)}
          step={1}
          value={Math.min(second * 1_000, durationMs)}
          onChange={(event) => player.seek(event.target.valueAsNumber)}
        />
      </div>
    </div>
  );
}

const Lanes = memo(function Lanes({ talk, durationMs }: { talk: Talk; durationMs: number }) {
  return (
    <svg
      className={css.lanes}
      viewBox={`0 0 ${WIDTH} ${SPEAKERS.length * LANE_HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {SPEAKERS.map((speaker, lane) =>
        boxesOf(talk.lanes[speaker], durationMs).map(({ x, width }) => (
          <rect
            key={`${speaker}-${x}`}
            data-speaker={speaker}
            x={x}
            width={width}
            y={lane * LANE_HEIGHT + 2}
            height={LANE_HEIGHT - 4}
          />
        )),
      )}
    </svg>
  );
});

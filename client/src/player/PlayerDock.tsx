/** The controls of the player, at the bottom of the page. */
import { useEffect, useRef } from 'react';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import { t } from '../strings';
import { Button, IconButton } from '../ui/controls';
import css from './PlayerDock.module.css';
import { type Player, SPEEDS, usePlayer } from './player';
import { LONG_STEP_MS } from './seekSteps';
import type { Source } from './sources';
import type { Talk } from './speech';
import { Timeline } from './Timeline';

const STEP_SECONDS = LONG_STEP_MS / 1_000;

export function PlayerDock({
  player,
  talk,
  names,
  sources,
  source,
  onSource,
  onCopyMoment,
}: {
  player: Player;
  talk: Talk;
  names: Names;
  sources: readonly Source[];
  /** The chosen source; undefined: there is no audio. */
  source: Source | undefined;
  onSource: (url: string) => void;
  onCopyMoment: () => void;
}) {
  const strings = t.calls.player;
  return (
    <section className={css.dock} data-print="never" aria-label={strings.label}>
      <Timeline player={player} talk={talk} names={names} />
      <div className={css.controls}>
        {source && <AudioElement key={source.url} player={player} url={source.url} />}
        {source && <PlayButtons player={player} />}
        <Clock player={player} />
        {!source && <p className={css.note}>{strings.noSound}</p>}
        {source && <SpeedControls player={player} />}
        {sources.length > 1 && (
          <SourceChoice sources={sources} url={source?.url} onSource={onSource} />
        )}
        {source && <span className={css.keys}>{strings.keys}</span>}
        <span className={css.end}>
          <IconButton icon="copy" label={strings.copyMoment} onClick={onCopyMoment} />
        </span>
      </div>
      {source && <Failure player={player} />}
      {source && !source.isExact && <p className={css.note}>{strings.inexact}</p>}
    </section>
  );
}

function AudioElement({ player, url }: { player: Player; url: string }) {
  const audio = useRef<HTMLAudioElement>(null);
  useEffect(() => (audio.current ? player.attach(audio.current) : undefined), [player]);
  // biome-ignore lint/a11y/useMediaCaption: the page shows the transcript
  return <audio ref={audio} src={url} preload="metadata" />;
}

function PlayButtons({ player }: { player: Player }) {
  const strings = t.calls.player;
  const isPlaying = usePlayer(player, (state) => state.isPlaying);
  const isWaiting = usePlayer(player, (state) => state.isWaiting);
  return (
    <>
      <Step by={-1} player={player} />
      <IconButton
        look="primary"
        icon={isPlaying ? 'pause' : 'play'}
        label={isPlaying ? strings.pause : strings.play}
        aria-keyshortcuts="K"
        aria-busy={isWaiting}
        onClick={() => player.toggle()}
      />
      <Step by={1} player={player} />
    </>
  );
}

function Step({ by, player }: { by: 1 | -1; player: Player }) {
  const strings = t.calls.player;
  const label = by < 0 ? strings.back(STEP_SECONDS) : strings.forward(STEP_SECONDS);
  return (
    <Button
      look="quiet"
      className={css.step}
      dir="ltr"
      aria-label={label}
      title={label}
      aria-keyshortcuts={by < 0 ? 'J' : 'L'}
      onClick={() => player.seekBy(by * LONG_STEP_MS)}
    >
      {by < 0 ? `−${STEP_SECONDS}` : `+${STEP_SECONDS}`}
    </Button>
  );
}

function Clock({ player }: { player: Player }) {
  const clock = usePlayer(player, (state) => clockTime(state.timeMs));
  const length = usePlayer(player, (state) => clockTime(state.durationMs));
  return (
    <span className={css.clock} dir="ltr">
      {clock} / {length}
    </span>
  );
}

function SpeedControls({ player }: { player: Player }) {
  const strings = t.calls.player;
  const speed = usePlayer(player, (state) => state.speed);
  const skips = usePlayer(player, (state) => state.skipsSilence);
  return (
    <>
      <select
        className={css.select}
        aria-label={strings.speed}
        title={strings.speed}
        value={speed}
        onChange={(event) => player.setSpeed(Number(event.target.value))}
      >
        {SPEEDS.map((speed) => (
          <option key={speed} value={speed}>
            {strings.times(speed)}
          </option>
        ))}
      </select>
      <Button
        look="quiet"
        className={css.skip}
        aria-pressed={skips}
        onClick={() => player.setSkipsSilence(!skips)}
      >
        {strings.skip}
      </Button>
    </>
  );
}

function SourceChoice({
  sources,
  url,
  onSource,
}: {
  sources: readonly Source[];
  url: string | undefined;
  onSource: (url: string) => void;
}) {
  const strings = t.calls.player;
  const count = { archive: 0, recording: 0 };
  return (
    <select
      className={css.select}
      aria-label={strings.source}
      title={strings.source}
      value={url}
      onChange={(event) => onSource(event.target.value)}
    >
      {sources.map(({ kind, url }) => {
        count[kind] += 1;
        const name = strings.sources[kind];
        return (
          <option key={url} value={url}>
            {count[kind] > 1 ? strings.sourceNumber(name, count[kind]) : name}
          </option>
        );
      })}
    </select>
  );
}

function Failure({ player }: { player: Player }) {
  const hasFailed = usePlayer(player, (state) => state.hasFailed);
  if (!hasFailed) return null;
  return (
    <p className={css.failure} role="alert">
      {t.calls.player.failed}
      <Button onClick={() => player.retry()}>{t.ui.retry}</Button>
    </p>
  );
}

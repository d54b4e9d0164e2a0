import type { TextSize, Theme } from '../preferences/parse';
import { setPreference, usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Segmented } from '../ui/controls';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.appearance;

const THEMES: readonly { value: Theme; label: string }[] = [
  { value: 'system', label: words.themes.system },
  { value: 'light', label: words.themes.light },
  { value: 'dark', label: words.themes.dark },
];

const TEXT_SIZES: readonly { value: TextSize; label: string }[] = [
  { value: 'normal', label: words.textSizes.normal },
  { value: 'large', label: words.textSizes.large },
  { value: 'larger', label: words.textSizes.larger },
];

export function Appearance() {
  const theme = usePreference('theme');
  const textSize = usePreference('textSize');
  return (
    <Section id="appearance" title={words.title}>
      <div className={css.row}>
        <span aria-hidden="true">{words.theme}</span>
        <Segmented
          label={words.theme}
          value={theme}
          options={THEMES}
          onChange={(chosen) => setPreference('theme', chosen)}
        />
      </div>
      <div className={css.row}>
        <span aria-hidden="true">{words.textSize}</span>
        <Segmented
          label={words.textSize}
          value={textSize}
          options={TEXT_SIZES}
          onChange={(chosen) => setPreference('textSize', chosen)}
        />
      </div>
      <p className={css.sample}>{words.sample}</p>
    </Section>
  );
}

import { useState } from 'react';
import { ShortcutSheet } from '../keys/ShortcutSheet';
import { setPreference, usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Switch } from '../ui/Switch';
import { Section } from './Section';

const words = t.settings.access;

export function Accessibility() {
  const announceWords = usePreference('announceWords');
  const shortcuts = usePreference('shortcuts');
  const [isSheetOpen, setIsSheetOpen] = useState(false);
  return (
    <Section id="accessibility" title={words.title}>
      <Switch
        label={words.announce}
        hint={words.announceHint}
        checked={announceWords}
        onChange={(isOn) => setPreference('announceWords', isOn)}
      />
      <Switch
        label={words.shortcuts}
        hint={words.shortcutsHint}
        checked={shortcuts}
        onChange={(isOn) => setPreference('shortcuts', isOn)}
      />
      <div>
        <Button icon="keyboard" onClick={() => setIsSheetOpen(true)}>
          {words.show}
        </Button>
      </div>
      {isSheetOpen && <ShortcutSheet onClose={() => setIsSheetOpen(false)} />}
    </Section>
  );
}

import { useState } from 'react';
import { Sheet } from '../keys/Sheet';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Switch } from '../ui/Switch';
import { setPreference, usePreference } from './preferences';
import { Section } from './Section';

const words = t.settings.access;

/** For those who hear the page, and for those who talk to it. */
export function Access() {
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
      {isSheetOpen && <Sheet onClose={() => setIsSheetOpen(false)} />}
    </Section>
  );
}

import { useState } from 'react';
import { Devices } from '../phone/Devices';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Section } from './Section';

const words = t.settings.devices;

/** Opens the microphone only on request. */
export function DevicesSection() {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Section
      id="devices"
      title={words.title}
      hint={words.hint}
      action={
        <Button icon="mic" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
          {isOpen ? words.done : words.choose}
        </Button>
      }
    >
      {isOpen && <Devices />}
    </Section>
  );
}

import { expect, it } from 'vitest';
import { asText } from './plainText';
import { segment } from './segmentFixture';

const names = { agent: 'You', customer: 'Ada' };

it('writes one line for each segment', () => {
  const reply = segment(2, { text: 'Good morning.', speaker: 'customer' });
  expect(asText([segment(0), reply], names)).toBe('[0:00] You: words 0\n[0:02] Ada: Good morning.');
});

it('marks an echo', () => {
  const echo = segment(1, { text: 'three words here', speaker: 'customer', echo: true });
  expect(asText([echo], names)).toBe('[0:01] Ada (echo): three words here');
});

it('says where words are missing, after the words that there are', () => {
  const missing = segment(2, { text: '', transcribed: false });
  const cut = segment(4, { text: 'half of', transcribed: false });
  expect(asText([missing, cut], names)).toBe(
    '[0:02] You: Words are missing here: the server was overloaded.\n' +
      '[0:04] You: half of Words are missing here: the server was overloaded.',
  );
});

import { expect, it } from 'vitest';
import { FakeChannel } from './fakes';
import { TabChannel } from './tabChannel';

function setUp() {
  const channels: FakeChannel[] = [];
  const decisions: string[] = [];
  const tabs = new TabChannel(() => {
    const channel = new FakeChannel();
    channels.push(channel);
    return channel;
  });
  const listen = () => tabs.listen((callSid, decision) => decisions.push(`${callSid} ${decision}`));
  return { tabs, channels, decisions, listen };
}

it('sends decisions while it listens', () => {
  const { tabs, channels, listen } = setUp();
  tabs.send('CA1', 'answered');
  const stop = listen();
  tabs.send('CA2', 'rejected');
  stop();
  tabs.send('CA3', 'ignored');
  expect(channels.map(({ sent, isClosed }) => [sent, isClosed])).toEqual([
    [[{ decision: 'rejected', call: 'CA2' }], true],
  ]);
});

it('reports the decisions of other tabs, and drops everything else', () => {
  const { channels, decisions, listen } = setUp();
  listen();
  const invalid = [null, 'CA1', {}, { call: 'CA1' }, { call: 1, decision: 'answered' }];
  for (const data of [...invalid, { call: 'CA1', decision: 'lost' }]) channels[0]?.receive(data);
  expect(decisions).toEqual([]);
  for (const decision of ['answered', 'rejected', 'ignored'])
    channels[0]?.receive({ call: 'CA1', decision });
  expect(decisions).toEqual(['CA1 answered', 'CA1 rejected', 'CA1 ignored']);
});

it('keeps a newer channel when an older one is closed', () => {
  const { tabs, channels, listen } = setUp();
  const stopFirst = listen();
  listen();
  stopFirst();
  tabs.send('CA1', 'ignored');
  expect(channels[1]?.sent).toHaveLength(1);
});

import { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { gatherWrites } from '../../../src/lib/redis/gather-writes.ts';

/** A stream that keeps what each call of the system would have sent. */
const recording = (): { stream: Duplex; sent: string[] } => {
  const sent: string[] = [];
  const stream = new Duplex({
    read: () => undefined,
    decodeStrings: false,
    write: (chunk, _encoding, done) => {
      sent.push(String(chunk));
      done();
    },
    writev: (chunks, done) => {
      sent.push(chunks.map(({ chunk }) => String(chunk)).join(''));
      done();
    },
  });
  return { stream, sent };
};

test('what is written in one turn is sent at once, in order, and nothing waits for the next turn', async () => {
  const { stream, sent } = recording();
  gatherWrites(stream);
  gatherWrites(stream);
  stream.write('a');
  stream.write('b');
  await Promise.resolve().then(() => stream.write('c'));
  await turn();
  expect(sent.join('')).toBe('abc');
  expect(sent.length).toBeLessThanOrEqual(2);
  stream.write('d');
  await turn();
  expect(sent.join('')).toBe('abcd');
  stream.write('e');
  stream.write('f');
  await turn();
  expect(sent.at(-1)).toBe('ef');
});

test('growing, the first is sent as it comes, then twice as many each time, and the rest with the turn', async () => {
  const { stream, sent } = recording();
  gatherWrites(stream, { growing: true });
  for (const text of 'abcdefghij') stream.write(text);
  expect(sent).toEqual(['a', 'bc', 'defg']);
  await turn();
  expect(sent).toEqual(['a', 'bc', 'defg', 'hij']);
  stream.write('k');
  expect(sent.at(-1)).toBe('k');
});

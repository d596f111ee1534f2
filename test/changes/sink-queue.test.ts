import { expect, test } from 'vitest';
import { SinkQueue } from '../../src/changes/sink-queue.ts';

const transaction = (xid: number) => ({ xid, commitLsn: BigInt(xid) * 1_000n });
const entity = (id: string) => ({ kind: 'item', workspaceId: '', id });
const idsOf = ({ entities }: ReturnType<SinkQueue['take']>): string[] => entities.map(({ id }) => id);

test('whole transactions are taken, and the one that is being told stays until it has been', () => {
  const queue = new SinkQueue(1);
  queue.add(entity('a'), transaction(1));
  queue.add(entity('b'), transaction(1));
  queue.complete(1_500n);
  const second = transaction(2);
  queue.add(entity('b'), second);
  expect(queue).toMatchObject({ size: 3, wholeSize: 2, hasWhole: true });
  const first = queue.take();
  expect(idsOf(first)).toEqual(['a', 'b']);
  expect(first).toMatchObject({ completeTo: 1_500n, xids: [1], position: 1_008n });
  expect(queue).toMatchObject({ size: 1, hasWhole: false, isEmpty: false });
  queue.add(entity('c'), second);
  queue.complete(2_500n);
  const next = queue.take();
  expect(idsOf(next)).toEqual(['b', 'c']);
  expect(next).toMatchObject({ completeTo: 2_500n, xids: [2], firstPosition: 2_008n });
  expect(queue.isEmpty).toBe(true);
});

test('of several transactions an entity is taken once, where it was last changed', () => {
  const queue = new SinkQueue(1);
  for (const [xid, ids] of [
    [1, ['a', 'b']],
    [2, ['c', 'a']],
  ] as const) {
    for (const id of ids) queue.add(entity(id), transaction(xid), { row: () => id, bytes: 10 });
    queue.complete(BigInt(xid) * 1_000n + 500n);
  }
  const taken = queue.take();
  expect(idsOf(taken)).toEqual(['b', 'c', 'a']);
  expect(taken).toMatchObject({ xids: [1, 2], firstPosition: 1_008n, position: 2_008n, completeTo: 2_500n, bytes: 40 });
});

test('a transaction that fills the queue by itself is taken in pieces, which tell no position before its end', () => {
  const queue = new SinkQueue(1);
  const large = transaction(1);
  queue.add(entity('a'), large);
  expect(queue.take()).toMatchObject({ entities: [{ id: 'a' }], completeTo: undefined, xids: [1] });
  queue.add(entity('b'), large);
  queue.complete(1_500n);
  expect(queue.take()).toMatchObject({ entities: [{ id: 'b' }], completeTo: 1_500n, xids: [1], firstPosition: 1_008n });
});

test('what waited of a truncated table is told without its rows, and what came behind it with them', () => {
  const queue = new SinkQueue(1);
  queue.add(entity('a'), transaction(1), { row: () => 'old', bytes: 1 });
  queue.complete(1_500n);
  const second = transaction(2);
  queue.truncate('item', second);
  queue.add(entity('b'), second, { row: () => 'new', bytes: 1 });
  queue.complete(2_500n);
  const { entities, truncated } = queue.take();
  expect(truncated).toEqual(['item']);
  expect(entities.map(({ id, image }) => [id, image !== undefined])).toEqual([
    ['a', false],
    ['b', true],
  ]);
});

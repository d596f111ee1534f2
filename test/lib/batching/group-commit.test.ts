import { expect, test } from 'vitest';
import { GroupCommit } from '../../../src/lib/batching/group-commit.ts';

const away = Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
const double = async (items: readonly number[]): Promise<readonly number[]> => items.map((item) => item * 2);

test('what arrives together is written together, and each gets its own result', async () => {
  const batches: (readonly number[])[] = [];
  const group = new GroupCommit<number, number>({
    maxBatch: 3,
    write: (items) => {
      batches.push(items);
      return double(items);
    },
  });
  expect(await Promise.all([1, 2, 3, 4, 5].map((item) => group.submit(item)))).toEqual([2, 4, 6, 8, 10]);
  expect(batches).toEqual([
    [1, 2, 3],
    [4, 5],
  ]);
  expect(await group.submit(6)).toBe(12);
  await group.close();
});

test('an item at fault is refused alone', async () => {
  const poison = new Error('poison');
  const group = new GroupCommit<number, number>({
    maxBatch: 100,
    write: (items) => (items.includes(7) || items.includes(40) ? Promise.reject(poison) : double(items)),
  });
  const settled = await Promise.allSettled(Array.from({ length: 50 }, (_, item) => group.submit(item)));
  expect(settled.flatMap(({ status }, item) => (status === 'rejected' ? [item] : []))).toEqual([7, 40]);
  expect(settled[8]).toEqual({ status: 'fulfilled', value: 16 });
});

test('a batch whose connection failed is written again until it succeeds', async () => {
  const told: unknown[] = [];
  const group = new GroupCommit<number, number>({
    maxBatch: 10,
    onConnectionError: (error) => told.push(error),
    write: (items) => (told.length < 3 ? Promise.reject(away) : double(items)),
  });
  expect(await Promise.all([group.submit(1), group.submit(2)])).toEqual([2, 4]);
  expect(told).toEqual([away, away, away]);
  await group.close();
});

test('a close while the server is away gives up, also on what is submitted afterwards', async () => {
  const failed = Promise.withResolvers<void>();
  const group = new GroupCommit<number, number>({
    maxBatch: 1,
    onConnectionError: () => failed.resolve(),
    write: () => Promise.reject(away),
  });
  const submitted = Promise.allSettled([group.submit(1), group.submit(2)]);
  await failed.promise;
  await group.close();
  expect((await submitted).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await expect(group.submit(3)).rejects.toBe(away);
});

test('without somebody to tell, a lost connection is the answer', async () => {
  const group = new GroupCommit<number, number>({ maxBatch: 10, write: () => Promise.reject(away) });
  await expect(group.submit(1)).rejects.toBe(away);
});

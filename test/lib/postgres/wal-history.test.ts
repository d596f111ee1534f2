import { expect, test } from 'vitest';
import { readLsn } from '../../../src/lib/postgres/lsn.ts';
import { WalHistory } from '../../../src/lib/postgres/wal-history.ts';

test('positions compare as the log grows, and other texts are none', () => {
  const texts = ['0/0', '0/FF', '0/100', '1/0', '16/B374D848', 'FFFFFFFF/FFFFFFFF'];
  const positions = texts.map((text) => readLsn(text) ?? -1n);
  expect(positions).toEqual(positions.toSorted((a, b) => (a < b ? -1 : 1)));
  expect(positions.at(-1)).toBe(2n ** 64n - 1n);
  for (const text of ['', '1', '0/G', '0/123456789', ' 0/1', '0/1\n', '-0/1']) expect(readLsn(text)).toBeUndefined();
});

test('a replica is as old as the last position that it has reached', () => {
  const history = new WalHistory(30_000);
  expect(history.lagMs(0n, 0)).toBeUndefined();
  history.add(100n, 1_000);
  expect([history.lagMs(100n, 9_000), history.lagMs(120n, 9_000), history.lagMs(99n, 9_000)]).toEqual([
    0,
    0,
    undefined,
  ]);
  history.add(200n, 2_000);
  history.add(200n, 3_000);
  expect([history.lagMs(200n, 5_000), history.lagMs(199n, 5_000)]).toEqual([0, 4_000]);
  history.add(200n, 32_500);
  expect([history.lagMs(199n, 32_500), history.lagMs(200n, 32_500)]).toEqual([undefined, 0]);
});

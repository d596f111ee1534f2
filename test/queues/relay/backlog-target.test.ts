import { expect, test } from 'vitest';
import { BacklogTarget } from '../../../src/queues/relay/backlog-target.ts';

test('an idle queue gets forty jobs, or twice what the workers run at once', () => {
  expect(new BacklogTarget().room(0, 0, 0)).toBe(40);
  expect(new BacklogTarget().room(0, 100, 0)).toBe(200);
});

test('it is filled up when half of it is gone, and never over its size', () => {
  const target = new BacklogTarget();
  expect(target.room(21, 0, 0)).toBe(0);
  expect(target.room(20, 0, 1)).toBe(20);
  expect(target.room(10_000, 0, 2)).toBe(0);
});

test('while it is more than half full a few are let in now and then, never over its size', () => {
  const target = new BacklogTarget();
  expect(target.room(0, 0, 1_000)).toBe(40);
  expect(target.room(25, 0, 1_099)).toBe(0);
  expect(target.room(25, 0, 1_100)).toBe(8);
  expect(target.room(38, 0, 1_150)).toBe(0);
  expect(target.room(38, 0, 1_200)).toBe(2);
  expect(target.room(40, 0, 2_000)).toBe(0);
});

test('a fast queue gets about a third of a second of work ahead', () => {
  const target = new BacklogTarget();
  let room = target.room(0, 1, 0);
  for (let nowMs = 100; nowMs <= 5_000; nowMs += 100) {
    target.added(Array.from({ length: 50 }, () => 4));
    room = target.room(0, 1, nowMs);
  }
  expect(room).toBeGreaterThan(500);
  expect(room).toBeLessThanOrEqual(601);
});

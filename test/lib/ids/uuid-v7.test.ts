import { validate, version } from 'uuid';
import { afterEach, expect, test, vi } from 'vitest';
import { uuidV7 } from '../../../src/lib/ids/uuid-v7.ts';

afterEach(() => vi.useRealTimers());

test('ids are version 7, unlike each other, and sort in the order in which they were made', () => {
  const ids = Array.from({ length: 100_000 }, uuidV7);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.toSorted()).toEqual(ids);
  expect(ids.every((id) => validate(id) && version(id) === 7)).toBe(true);
});

test('they carry the time, and go on in order when the clock goes back', () => {
  vi.useFakeTimers();
  vi.setSystemTime(Date.now() + 60_000);
  const before = uuidV7();
  expect(Number.parseInt(before.replaceAll('-', '').slice(0, 12), 16)).toBe(Date.now());
  vi.setSystemTime(Date.now() - 30_000);
  expect(uuidV7() > before).toBe(true);
});

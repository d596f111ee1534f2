import { expect, test } from 'vitest';
import { Alarm } from '../../../src/lib/batching/alarm.ts';

const timeOf = async (work: Promise<void>): Promise<number> => {
  const begun = performance.now();
  await work;
  return performance.now() - begun;
};

test('a ring ends the sleep, an early ring the next one, and only that', async () => {
  const alarm = new Alarm();
  setImmediate(() => alarm.ring());
  expect(await timeOf(alarm.sleep(10_000))).toBeLessThan(5_000);
  alarm.ring();
  alarm.ring();
  expect(await timeOf(alarm.sleep(10_000))).toBeLessThan(5_000);
  expect(await timeOf(alarm.sleep(40))).toBeGreaterThan(30);
});

import { threadHandler } from '../../../src/queues/thread-handler.ts';
import { completed } from '../../../src/queues/outcome.ts';
import { frugal } from './contracts.ts';

export default threadHandler(frugal, async () => {
  const all: number[][] = [];
  for (let n = 0; n < 1e9; n += 1) all.push(Array.from({ length: 10_000 }, () => n));
  return completed(all.length);
});

import { setTimeout as delay } from 'node:timers/promises';
import { handle } from '../../src/queues/handle.ts';
import { completed } from '../../src/queues/outcome.ts';
import { startWorker } from '../../src/workers/worker.ts';
import { accepted, held, openTreadle } from '../contestants/treadle.ts';
import { nowMs, type FromWorker, type ToWorker } from '../worker-process.ts';

// A worker in a process of its own: `node --expose-gc treadle-worker.ts <Postgres URL> [<Redis URL>]`. Tells its parent what it
// handled and which jobs that wait for their signal began and were aborted, and answers how much memory it uses.
const tellEveryMs = 20;
const [postgresUrl = '', redisUrl] = process.argv.slice(2);
const tell = (message: FromWorker): void => void process.send?.(message);

const treadle = await openTreadle(postgresUrl, redisUrl);
let handled = 0;
const telling = setInterval(() => {
  if (handled > 0) tell({ kind: 'handled', count: handled });
  handled = 0;
}, tellEveryMs);

const worker = await startWorker(treadle.platform, {
  handlers: [
    handle(accepted, async () => {
      handled += 1;
      return completed(null);
    }),
    handle(held, async ({ job, signal }) => {
      signal.addEventListener('abort', () => tell({ kind: 'aborted', jobId: job.id, atMs: nowMs() }));
      tell({ kind: 'began', jobId: job.id, atMs: nowMs() });
      await delay(600_000, undefined, { signal }).catch(() => undefined);
      return completed(null);
    }),
  ],
});

const close = async (): Promise<void> => {
  clearInterval(telling);
  await worker.close();
  await treadle.close();
  process.disconnect();
};

process.on('message', (message: ToWorker) => {
  if (message === 'close') void close();
  else {
    globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    tell({ kind: 'memory', rssMb: rss / 2 ** 20, heapMb: (heapUsed + external) / 2 ** 20 });
  }
});
process.on('disconnect', () => process.exit(0));
tell({ kind: 'ready' });

import { handle } from '../../../src/queues/handle.ts';
import { ThreadPool } from '../../../src/workers/threads/thread-pool.ts';
import { act } from './contracts.ts';
import { runIn } from './run-in.ts';

// Runs the job that logs, in a thread, and ends.
const pool = new ThreadPool({ size: 1 });
const module = new URL('./act.ts', import.meta.url);
await runIn(await pool.bind(handle(act, { isolation: 'thread', module })), 'logs a line', {
  secret: 'open sesame',
});
await pool.close();

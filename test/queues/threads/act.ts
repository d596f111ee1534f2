import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, threadId } from 'node:worker_threads';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import {
  completed,
  OutcomeError,
  permanent,
  rateLimited,
  retryable,
  type Outcome,
} from '../../../src/queues/outcome.ts';
import { threadHandler, type ThreadContext } from '../../../src/queues/thread-handler.ts';
import { act } from './contracts.ts';

const busyFor = (ms: number): void => {
  for (const until = performance.now() + ms; performance.now() < until;);
};

let runs = 0;
const untyped = (value: unknown): Outcome<never> => Object.assign(JSON.parse('{"kind":"retryable"}'), value);

type Way = (context: ThreadContext<typeof act>) => Outcome | Promise<Outcome>;

/** What a handler in a thread may do. */
const ways: Readonly<Record<string, Way>> = {
  answers: ({ payload, job }) =>
    completed({ thread: !isMainThread, isDate: payload.at instanceof Date, attempt: job.attempt, id: job.id }),
  'says how far it is': async ({ progress }) => {
    progress(0.5, 'half way');
    await delay(200);
    return completed(null);
  },
  counts: () => completed({ runs: (runs += 1), threadId }),
  blocks: ({ payload, progress }) => {
    progress(0.25);
    busyFor(payload.ms);
    return completed('at last');
  },
  'blocks until there is a file': ({ payload: { file = '', ms }, progress }) => {
    progress(0.25);
    busyFor(ms);
    while (!existsSync(file)) busyFor(10);
    return completed('at last');
  },
  'blocks, and looks': ({ payload, signal, progress }) => {
    progress(0.25);
    for (const until = performance.now() + payload.ms; performance.now() < until;) signal.throwIfAborted();
    return completed('not aborted');
  },
  'waits for its signal': ({ signal, progress }) => {
    progress(0.25);
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  },
  'fails for good': () => permanent(new AppError('NOT_FOUND', 'no such picture', { entity: 'picture' })),
  'fails with a code': () => retryable(Object.assign(new Error('disk full'), { code: 'ENOSPC' })),
  'throws what is not worth another attempt': () => {
    throw new AppError('FORBIDDEN', 'not yours', { scope: 'pictures' });
  },
  'throws an outcome': () => {
    throw new OutcomeError(permanent(new Error('deep inside')));
  },
  'is limited once': ({ job }) => {
    runs += 1;
    return runs > 100 ? completed(job.attempt) : ((runs = 100), rateLimited(1));
  },
  'answers a function': () => completed(() => 1),
  'answers a cycle': () => {
    const cycle: Record<string, unknown> = {};
    cycle['itself'] = cycle;
    return completed({ cycle });
  },
  'answers what cannot be sent': () => untyped({ afterMs: () => 1 }),
  'answers nothing': () => JSON.parse('null'),
  exits: () => process.exit(3),
  'throws where nobody catches': async () => {
    setImmediate(() => {
      throw new Error('out of the blue');
    });
    await delay(10_000);
    return completed(null);
  },
  'logs a line': ({ log, payload }) => {
    log.warn({ event: 'tests.logged', err: new Error(`logged ${payload.secret}`) });
    return completed(null);
  },
};

const run: Way = (context) => {
  const way = ways[context.payload.how];
  if (!way) throw new Error('there is no such way');
  return way(context);
};

export default threadHandler(act, async (context) => run(context));

import { setTimeout as delay } from 'node:timers/promises';
import type { EventConsumer } from '../domain/events/consumers/define-consumer.ts';
import type { Platform } from '../platform.ts';
import type { QueueDefinition } from '../queues/define-queue.ts';
import type { AnyHandler } from '../queues/handle.ts';
import { LedgerWriter } from '../queues/ledger/ledger-writer.ts';
import type { Consumer } from '../queues/transport.ts';
import { startEventConsumers } from './event-consumers.ts';
import { AttemptRunner } from './runtime/attempt-runner.ts';
import { listenForCancels } from './runtime/listen-for-cancels.ts';
import { openConsumer } from './runtime/open-consumer.ts';
import type { RunningRole } from './running-role.ts';

export interface WorkerOptions {
  readonly handlers: readonly AnyHandler[];
  /** Durable consumers of events; none by default. */
  readonly consumers?: readonly EventConsumer[];
}

/** Of the grace period, what is kept for handing back what did not end, and for closing the rest of the process. */
const reserveOf = (graceMs: number): number => Math.min(5_000, graceMs * 0.4);

/** The queues that this process works on, with as many jobs at once as it may run. */
export const queuesOf = ({ config, registry }: Platform): readonly QueueDefinition[] =>
  registry.queues
    .filter(({ name }) => config.queues?.includes(name) ?? true)
    .map((queue) => ({ ...queue, concurrency: config.concurrency ?? queue.concurrency }));

/** Works on the configured queues until it is closed. */
export const startWorker = async (
  platform: Platform,
  { handlers, consumers: ofEvents = [] }: WorkerOptions,
): Promise<RunningRole> => {
  const { postgres, log } = platform;
  const ledger = new LedgerWriter(postgres, log, platform.jobMetrics);
  const isolated = await isolate(handlers);
  const runner = new AttemptRunner({
    platform,
    handlers: new Map(isolated.handlers.map((handler) => [handler.contract.name, handler])),
    ledger,
    worker: platform.processId,
    log,
  });
  const stopListening = await listenForCancels(platform, runner.active);
  const together = new Set(handlers.filter((handler) => 'runBatch' in handler).map(({ contract }) => contract.name));
  const consumers: Consumer[] = [];
  for (const queue of queuesOf(platform)) {
    consumers.push(
      await openConsumer(platform, {
        queue: queue.name,
        concurrency: queue.concurrency,
        lockMs: queue.lockMs,
        run: runner.run,
        runsTogether: (name) => together.has(name),
      }),
    );
  }
  const eventConsumers = startEventConsumers(platform, ofEvents);
  log.info({
    event: 'worker.started',
    queues: queuesOf(platform).map(({ name, concurrency }) => ({ name, concurrency })),
  });
  return {
    close: async () => {
      await stopListening();
      const { shutdownGraceMs } = platform.config;
      await Promise.all([
        handBack(runner, consumers, ledger, shutdownGraceMs),
        eventConsumers.close(shutdownGraceMs - reserveOf(shutdownGraceMs)),
      ]);
      await ledger.close();
      await isolated.close();
    },
  };
};

/** Makes those handlers that want a thread run in one. */
const isolate = async (
  handlers: readonly AnyHandler[],
): Promise<{ readonly handlers: readonly AnyHandler[]; readonly close: () => Promise<void> }> => {
  if (!handlers.some((handler) => 'thread' in handler)) return { handlers, close: () => Promise.resolve() };
  const { ThreadPool } = await import('./threads/thread-pool.ts');
  const threads = new ThreadPool();
  try {
    const bound: AnyHandler[] = [];
    for (const handler of handlers) bound.push('run' in handler ? await threads.bind(handler) : handler);
    return { handlers: bound, close: () => threads.close() };
  } catch (error) {
    await threads.close();
    throw error;
  }
};

/**
 * Ends the running attempts: no new ones, every signal aborted, the grace period for handlers that take their time, and
 * what runs on after it is abandoned. All of them are handed back, at no cost of an attempt.
 */
const handBack = async (
  runner: AttemptRunner,
  consumers: readonly Consumer[],
  ledger: LedgerWriter,
  graceMs: number,
): Promise<void> => {
  runner.refuse();
  await Promise.all(consumers.map((consumer) => consumer.pause()));
  for (const attempt of runner.active.all()) attempt.abort('shutdown', 'the worker is shutting down');
  const over = Promise.all(runner.active.all().map((attempt) => attempt.over));
  const grace = new AbortController();
  await Promise.race([
    over,
    delay(graceMs - reserveOf(graceMs), undefined, { signal: grace.signal }).catch(() => undefined),
  ]);
  grace.abort();
  for (const attempt of runner.active.all()) attempt.abandon();
  // Attempts whose end cannot be written, because Postgres is away, are given up: their jobs run again.
  await Promise.all([ledger.close(), ...consumers.map((consumer) => consumer.close())]);
};

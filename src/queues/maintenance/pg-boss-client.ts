import type pg from 'pg';
import type { PgBoss } from 'pg-boss';
import { AppError } from '../../lib/errors/app-error.ts';
import { isConnectionError } from '../../lib/errors/classify.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { expectedPgBossVersion, pgBossSchema } from './pg-boss-schema.ts';

export interface PgBossClientOptions {
  /** How often lapsed heartbeats are looked for; whole seconds. */
  readonly superviseSeconds?: number;
}

/** Longer than any attempt may run: attempts end by their own time-out, and silent workers by their heartbeat. */
const expireInSeconds = 86_400;
/** What waits in a paused queue stays; the ledger would give it back, but late. */
const retentionSeconds = 31_536_000;
/** pg-boss never gives an item up: the ledger counts attempts, and workers refuse what has stalled too often. */
const retryLimit = 1_000_000;

/** How long pg-boss lets a worker be silent when it is asked for `lockMs`: whole seconds, at least ten. */
export const heartbeatMsOf = (lockMs: number): number => Math.max(10, Math.ceil(lockMs / 1_000)) * 1_000;

/**
 * The pg-boss of a process, over the process' own pool: loaded and started when it is first asked for, shared by every
 * transport and consumer, closed once. It makes no schema, runs no cron, and gives back the items of silent workers.
 */
export class PgBossClient {
  readonly pool: pg.Pool;
  readonly #log: Log;
  readonly #options: PgBossClientOptions;
  readonly #queues = new Map<string, Promise<void>>();
  #starting: Promise<PgBoss> | undefined;
  #closed = false;

  constructor(pool: pg.Pool, log: Log, options: PgBossClientOptions = {}) {
    this.pool = pool;
    this.#log = log;
    this.#options = options;
  }

  /**
   * pg-boss, started, with the queue made. A worker silent for `lockMs` (at least 10 s) loses its item.
   * @throws AppError SCHEMA_MISMATCH when its schema is missing or of another version; connection errors as they are.
   */
  async open(queue: string, lockMs: number): Promise<PgBoss> {
    const boss = await this.#start();
    const made = this.#queues.get(queue) ?? this.#makeQueue(boss, queue, heartbeatMsOf(lockMs) / 1_000);
    this.#queues.set(queue, made);
    try {
      await made;
    } catch (error) {
      this.#queues.delete(queue);
      throw error;
    }
    return boss;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const boss = await this.#starting?.catch(() => undefined);
    await boss?.stop({ graceful: false, close: false });
  }

  #start(): Promise<PgBoss> {
    if (this.#closed) throw new AppError('SERVICE_UNAVAILABLE', 'the maintenance queue is closed', {});
    this.#starting ??= this.#load().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  async #load(): Promise<PgBoss> {
    const { PgBoss: Boss } = await import('pg-boss');
    const superviseSeconds = this.#options.superviseSeconds ?? 10;
    const boss = new Boss({
      db: { executeSql: (text, values) => this.pool.query(text, values) },
      schema: pgBossSchema,
      migrate: false,
      createSchema: false,
      schedule: false,
      supervise: true,
      superviseIntervalSeconds: superviseSeconds,
      // Less, or a look that comes a little early is left out.
      monitorIntervalSeconds: Math.max(1, Math.floor(superviseSeconds / 2)),
      queueCacheIntervalSeconds: 3_600,
      // Flows are the ledger's.
      flowIntervalSeconds: 86_400,
      monitorVacuum: false,
    });
    boss.on('error', (error) => this.#log.warn({ event: 'pg-boss.error', err: error }));
    boss.on('warning', ({ message }) => this.#log.warn({ event: 'pg-boss.warning', message }));
    try {
      await boss.start();
    } catch (error) {
      await boss.stop({ graceful: false, close: false }).catch(() => undefined);
      throw await this.#explain(boss, error);
    }
    return boss;
  }

  async #explain(boss: PgBoss, error: unknown): Promise<unknown> {
    if (isConnectionError(error)) return error;
    const expected = expectedPgBossVersion();
    const actual = (await boss.isInstalled()) ? await boss.schemaVersion() : 0;
    if (actual === expected) return error;
    return new AppError(
      'SCHEMA_MISMATCH',
      actual === 0
        ? 'pg-boss is not installed in the database'
        : "pg-boss' schema in the database is of another version",
      { expected: String(expected), actual: String(actual), command: 'treadle migrate up' },
      { cause: error },
    );
  }

  async #makeQueue(boss: PgBoss, queue: string, heartbeatSeconds: number): Promise<void> {
    const known = await boss.getQueue(queue);
    const options = { heartbeatSeconds, expireInSeconds, retentionSeconds, retryLimit, retryDelay: 0 };
    if (!known) await boss.createQueue(queue, options);
    else if (known.heartbeatSeconds !== heartbeatSeconds) await boss.updateQueue(queue, options);
  }
}

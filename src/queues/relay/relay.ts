import type { Client } from 'pg';
import { Alarm } from '../../lib/batching/alarm.ts';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { advisoryLocks, tryLock } from '../../lib/postgres/advisory-lock.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import type { QueueDefinition } from '../define-queue.ts';
import { loadQueueLimits, type KnownLimits } from '../limits/queue-limits.ts';
import { limitsChanged } from '../limits/limits-channel.ts';
import type { QueueTransport } from '../transport.ts';
import { QueueTurn } from './queue-turn.ts';
import type { Reconciler } from './reconciler.ts';
import { countWorkers } from './worker-count.ts';

export interface RelayParts {
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly transports: readonly QueueTransport[];
  /** Their definitions. */
  readonly queues: readonly QueueDefinition[];
  readonly reconciler: Reconciler;
  readonly log: Log;
  /** Called each time round, for the watch on standing loops. */
  readonly beat?: () => void;
  /** Told what was added to a queue. */
  readonly onAdded?: (queue: string, jobs: number) => void;
  /** Told when this relay begins to lead, and when it ends. */
  readonly onLeading?: (leads: boolean) => void;
}

const findDue = new URL('./find-due.sql', import.meta.url);
/** The word of NOTIFY for the end of a job that a limit counts; see finish-jobs.sql. */
const jobEnded = 'ended';
const takeoverEveryMs = 500;
/** With more jobs than this in a window the relay counts as busy, and who enqueues need not wake it. */
const busyJobs = 100;
const windowMs = 250;
const busyPollMs = 8;
const idlePollMs = 250;
/** While known queues have jobs, others are looked for this often. */
const lookEveryMs = 25;
const workersEveryMs = 2_000;
const reconcileEveryMs = 15_000;
/** Who led before may still have been picking when this leader looked what it had picked. */
const takeOverAgainMs = 6_000;
const maxFailureDelayMs = 2_000;
const slowTurnMs = 100;
const answerWithinMs = 5_000;

interface Found {
  queues: string[];
  paused: string[];
  next_due_in_ms: number | null;
}

/**
 * Moves due jobs from the ledger to their queues. Many processes may run one; a session lock in Postgres makes one of
 * them the leader, and its end, however it comes, frees the lock for the next.
 */
export class Relay {
  readonly #parts: RelayParts;
  readonly #queues: ReadonlyMap<string, QueueTurn>;
  readonly #closing = new AbortController();
  readonly #alarm = new Alarm();
  #workers: ReadonlyMap<string, number> = new Map();
  #limits: KnownLimits = { version: -1, of: new Map() };
  #paused: ReadonlySet<string> = new Set();
  /** When to ask the ledger next which queues have due jobs. */
  #lookAt = 0;
  /** While busy the relay looks by itself, and nobody sends NOTIFY. */
  #busy = false;
  #due = { workers: 0, reconcile: Number.POSITIVE_INFINITY };
  /** By turns that took longer than their round. */
  #addedLate = 0;
  #running: Promise<void> | undefined;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#queues = new Map(
      parts.transports.map((transport) => [
        transport.queue,
        new QueueTurn({ postgres: parts.postgres, transport, log: parts.log }),
      ]),
    );
  }

  /** Begins to stand for leadership. */
  async start(): Promise<void> {
    const wake = (message?: string): void => {
      if (message === limitsChanged) this.#due.workers = 0;
      if (message === jobEnded || message === limitsChanged) for (const turn of this.#queues.values()) turn.release();
      if (message !== jobEnded) this.#lookAt = 0;
      this.#alarm.ring();
    };
    this.#stopListening = await this.#parts.subscription.listen('treadle_relay', wake, () => wake(limitsChanged));
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#alarm.ring();
    await this.#running;
    await this.#stopListening?.();
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#stand();
      } catch (error) {
        this.#parts.log.warn({ event: 'relay.lost-lock', err: error });
      }
      await this.#alarm.sleep(takeoverEveryMs);
    }
  }

  /** Leads for as long as the connection that holds the lock lives. */
  async #stand(): Promise<void> {
    this.#parts.beat?.();
    const client = await this.#parts.postgres.connectDirect('relay');
    const lost = new AbortController();
    client.on('error', () => lost.abort());
    client.on('end', () => lost.abort());
    try {
      while (!this.#closing.signal.aborted && !lost.signal.aborted) {
        this.#parts.beat?.();
        if (await tryLock(client, advisoryLocks.relay)) {
          this.#parts.onLeading?.(true);
          await this.#lead(client, lost.signal).finally(() => this.#parts.onLeading?.(false));
          // The next leader takes over what was picked, so nothing may be picked any more.
          await withTimeout(this.#idle(), answerWithinMs, 'a queue').catch(() => undefined);
          return;
        }
        await this.#alarm.sleep(takeoverEveryMs);
      }
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async #lead(client: Client, lost: AbortSignal): Promise<void> {
    this.#parts.log.info({ event: 'relay.leads' });
    await client.query('UPDATE treadle.relay SET holder = $1, sleeping = true', [`${process.pid}`]);
    this.#busy = false;
    this.#lookAt = 0;
    this.#due = { workers: 0, reconcile: performance.now() + reconcileEveryMs };
    await this.#idle();
    for (const turn of this.#queues.values()) await turn.lead(performance.now() + takeOverAgainMs);
    const leads = (): boolean => !this.#closing.signal.aborted && !lost.aborted;
    let window = { endsAt: performance.now() + windowMs, added: 0 };
    let failures = 0;
    while (leads()) {
      this.#parts.beat?.();
      try {
        const added = (await this.#round(leads)) + this.#addedLate;
        this.#addedLate = 0;
        failures = 0;
        window.added += added;
        if (performance.now() >= window.endsAt) {
          await this.#setBusy(window.added > busyJobs);
          window = { endsAt: performance.now() + windowMs, added: 0 };
        }
        if (added === 0) await this.#alarm.sleep(this.#pauseMs(performance.now()));
      } catch (error) {
        failures += 1;
        // A look that failed is made again.
        this.#lookAt = 0;
        this.#parts.log.warn({ event: 'relay.round-failed', err: error });
        await this.#alarm.sleep(Math.min(maxFailureDelayMs, 50 * 2 ** failures));
      }
    }
  }

  /** How long nothing is to be done; nothing at all is not rounded up to a millisecond. */
  #pauseMs(now: number): number {
    const waiting = this.#readyTurns(now).length > 0;
    const held = [...this.#queues.values()].flatMap(({ heldUntil }) => (heldUntil > now ? heldUntil : []));
    const next = Math.min(this.#lookAt, ...held);
    return Math.min(waiting ? busyPollMs : idlePollMs, Math.max(0, Math.ceil(next - now)));
  }

  /** What is due goes to every queue that has room. Answers how many jobs were added. */
  async #round(leads: () => boolean): Promise<number> {
    await this.#housekeep();
    if (performance.now() >= this.#lookAt) await this.#look();
    let added = 0;
    let isOver = false;
    const turns = this.#readyTurns(performance.now()).map(async (turn) => {
      const workers = this.#workers.get(turn.queue) ?? 0;
      const { version, of } = this.#limits;
      const count = await turn.relay({ workers, limits: of.get(turn.queue), limitsVersion: version, leads });
      this.#parts.onAdded?.(turn.queue, count);
      if (!isOver) added += count;
      else {
        // Other queues went on meanwhile; this one goes on now.
        this.#addedLate += count;
        this.#alarm.ring();
      }
    });
    await withTimeout(Promise.all(turns), slowTurnMs, 'a queue').catch(() => undefined);
    isOver = true;
    return added;
  }

  #readyTurns(now: number): readonly QueueTurn[] {
    return [...this.#queues.values()].filter(
      (turn) => turn.ready && turn.isFree(now) && now >= turn.heldUntil && !this.#paused.has(turn.queue),
    );
  }

  async #idle(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((turn) => turn.idle()));
  }

  /**
   * Asks the ledger which queues have due jobs: only about those not known to have some, since on its way to the first job
   * of a busy queue the server passes all that was picked lately.
   */
  async #look(): Promise<void> {
    // Before the question, so that who rings while it is under way is not forgotten.
    this.#lookAt = Number.POSITIVE_INFINITY;
    const startedAt = performance.now();
    const unknown = [...this.#queues.values()].flatMap(({ queue, ready }) => (ready ? [] : [queue]));
    const { rows } = await this.#parts.postgres.queryPrepared<Found & Record<string, unknown>>(loadSql(findDue), [
      unknown,
    ]);
    const { queues = [], paused = [], next_due_in_ms: dueInMs = null } = rows[0] ?? {};
    for (const queue of queues) this.#queues.get(queue)?.markReady();
    this.#paused = new Set(paused);
    for (const turn of this.#queues.values()) {
      turn.tellPaused(this.#paused.has(turn.queue), startedAt, () => this.#alarm.ring());
    }
    const pauseMs = queues.length > 0 || this.#busy ? busyPollMs : idlePollMs;
    const nextInMs = Math.min(this.#readyTurns(startedAt).length > 0 ? lookEveryMs : pauseMs, dueInMs ?? idlePollMs);
    this.#lookAt = Math.min(this.#lookAt, startedAt + Math.max(1, nextInMs));
  }

  async #housekeep(): Promise<void> {
    const now = performance.now();
    if (now >= this.#due.workers) {
      this.#due.workers = now + workersEveryMs;
      const { postgres, queues } = this.#parts;
      [this.#workers, this.#limits] = await Promise.all([countWorkers(postgres), loadQueueLimits(postgres, queues)]);
      await this.#parts.postgres.query('UPDATE treadle.relay SET beat_at = now()');
    }
    for (const turn of this.#queues.values()) turn.keepHouse(now);
    if (now >= this.#due.reconcile) {
      this.#due.reconcile = now + reconcileEveryMs;
      void this.#parts.reconciler
        .reconcile()
        .catch((error: unknown) => this.#parts.log.warn({ event: 'reconciler.failed', err: error }));
    }
  }

  /**
   * While it is not busy, every commit with a due job sends NOTIFY. A transaction that enqueued before the relay said so is
   * found by the poll.
   */
  async #setBusy(busy: boolean): Promise<void> {
    if (busy === this.#busy) return;
    await this.#parts.postgres.query('UPDATE treadle.relay SET sleeping = $1', [!busy]);
    this.#busy = busy;
    this.#lookAt = 0;
  }
}

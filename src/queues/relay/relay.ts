import type { Client } from 'pg';
import { Alarm } from '../../lib/batching/alarm.ts';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import { advisoryLocks, tryLock } from '../../lib/postgres/advisory-lock.ts';
import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Subscription } from '../../lib/postgres/subscription.ts';
import type { QueueTransport } from '../transport.ts';
import { QueueRelay } from './queue-relay.ts';
import type { Reconciler } from './reconciler.ts';
import { countWorkers } from './worker-count.ts';

export interface RelayParts {
  readonly postgres: Postgres;
  readonly subscription: Subscription;
  readonly transports: readonly QueueTransport[];
  readonly reconciler: Reconciler;
  readonly log: Log;
  /** Called each time round, for the watch on standing loops. */
  readonly beat?: () => void;
}

const findDue = new URL('./find-due.sql', import.meta.url);
const takeoverEveryMs = 500;
/** With more jobs than this in a window the relay counts as busy, and who enqueues need not wake it. */
const busyJobs = 100;
const windowMs = 250;
const busyPollMs = 8;
const idlePollMs = 250;
/** While known queues have jobs, others are looked for this often. */
const lookEveryMs = 25;
const epochEveryMs = 1_000;
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

/** One queue in the relay's hands: at most one look at a time, and a pause after each failure, so that a queue whose server is away holds up nobody else. */
interface QueueTurn {
  readonly relay: QueueRelay;
  /** The ledger may have due jobs for this queue. */
  ready: boolean;
  /** What this leader has told the queue; undefined until it has. */
  paused: boolean | undefined;
  busy: boolean;
  failures: number;
  notBefore: number;
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
  #paused: ReadonlySet<string> = new Set();
  /** When to ask the ledger next which queues have due jobs. */
  #lookAt = 0;
  /** While busy the relay looks by itself, and nobody sends NOTIFY. */
  #busy = false;
  #due = { epochs: 0, workers: 0, reconcile: Number.POSITIVE_INFINITY, takeOver: Number.POSITIVE_INFINITY };
  readonly #turns = new Set<Promise<number>>();
  #running: Promise<void> | undefined;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#queues = new Map(
      parts.transports.map((transport) => {
        const relay = new QueueRelay(parts.postgres, transport);
        return [transport.queue, { relay, ready: false, paused: undefined, busy: false, failures: 0, notBefore: 0 }];
      }),
    );
  }

  /** Begins to stand for leadership. */
  async start(): Promise<void> {
    const wake = (): void => {
      this.#lookAt = 0;
      this.#alarm.ring();
    };
    this.#stopListening = await this.#parts.subscription.listen('treadle_relay', wake, wake);
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
          await this.#lead(client, lost.signal);
          // The next leader takes over what was picked, so nothing may be picked any more.
          await withTimeout(Promise.allSettled(this.#turns), answerWithinMs, 'a queue').catch(() => undefined);
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
    this.#due = {
      epochs: 0,
      workers: 0,
      reconcile: performance.now() + reconcileEveryMs,
      takeOver: performance.now() + takeOverAgainMs,
    };
    await Promise.allSettled(this.#turns);
    for (const turn of this.#queues.values()) {
      turn.paused = undefined;
      turn.ready = await turn.relay.takeOver();
    }
    const leads = (): boolean => !this.#closing.signal.aborted && !lost.aborted;
    let window = { endsAt: performance.now() + windowMs, added: 0 };
    let failures = 0;
    while (leads()) {
      this.#parts.beat?.();
      try {
        const added = await this.#round(leads);
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
    return Math.min(waiting ? busyPollMs : idlePollMs, Math.max(0, Math.ceil(this.#lookAt - now)));
  }

  /** What is due goes to every queue that has room. Answers how many jobs were added. */
  async #round(leads: () => boolean): Promise<number> {
    await this.#housekeep();
    if (performance.now() >= this.#lookAt) await this.#look();
    const turns = this.#readyTurns(performance.now()).map((turn) =>
      this.#take(turn, async () => {
        const { added, more } = await turn.relay.relay(this.#workers.get(turn.relay.transport.queue) ?? 0, leads);
        turn.ready = more;
        return added;
      }),
    );
    const added = await withTimeout(Promise.all(turns), slowTurnMs, 'a queue').catch((): number[] => []);
    return added.reduce((sum, count) => sum + count, 0);
  }

  #readyTurns(now: number): readonly QueueTurn[] {
    return [...this.#queues.entries()]
      .filter(([queue, turn]) => turn.ready && !turn.busy && now >= turn.notBefore && !this.#paused.has(queue))
      .map(([, turn]) => turn);
  }

  /**
   * Asks the ledger which queues have due jobs: only about those not known to have some, since on its way to the first job
   * of a busy queue the server passes all that was picked lately.
   */
  async #look(): Promise<void> {
    // Before the question, so that who rings while it is under way is not forgotten.
    this.#lookAt = Number.POSITIVE_INFINITY;
    const startedAt = performance.now();
    const unknown = [...this.#queues].flatMap(([queue, { ready }]) => (ready ? [] : [queue]));
    const { rows } = await this.#parts.postgres.queryPrepared<Found & Record<string, unknown>>(loadSql(findDue), [
      unknown,
    ]);
    const { queues = [], paused = [], next_due_in_ms: dueInMs = null } = rows[0] ?? {};
    for (const queue of queues) {
      const turn = this.#queues.get(queue);
      if (turn) turn.ready = true;
    }
    this.#paused = new Set(paused);
    this.#tellPaused();
    const pauseMs = queues.length > 0 || this.#busy ? busyPollMs : idlePollMs;
    const nextInMs = Math.min(this.#isAnyReady() ? lookEveryMs : pauseMs, dueInMs ?? idlePollMs);
    this.#lookAt = Math.min(this.#lookAt, startedAt + Math.max(1, nextInMs));
  }

  #isAnyReady(): boolean {
    return [...this.#queues.values()].some(({ ready }) => ready);
  }

  /** Whoever paused or resumed a queue told it too, if its server was there to be told. */
  #tellPaused(): void {
    const now = performance.now();
    for (const [queue, turn] of this.#queues) {
      const wanted = this.#paused.has(queue);
      if (turn.relay.wasEmptied()) turn.paused = undefined;
      // pg-boss' consumers read the ledger themselves.
      if (turn.paused === wanted || turn.busy || now < turn.notBefore || turn.relay.transport.kind === 'pg-boss')
        continue;
      void this.#take(turn, async () => {
        await withTimeout(turn.relay.transport.setPaused(wanted), answerWithinMs, queue);
        turn.paused = wanted;
        this.#alarm.ring();
        return 0;
      });
    }
  }

  #take(turn: QueueTurn, work: () => Promise<number>): Promise<number> {
    const taken = this.#work(turn, work).finally(() => this.#turns.delete(taken));
    this.#turns.add(taken);
    return taken;
  }

  async #work(turn: QueueTurn, work: () => Promise<number>): Promise<number> {
    turn.busy = true;
    try {
      const added = await work();
      turn.failures = 0;
      return added;
    } catch (error) {
      turn.failures += 1;
      turn.notBefore = performance.now() + Math.min(maxFailureDelayMs, 50 * 2 ** turn.failures);
      this.#parts.log.warn({ event: 'relay.queue-failed', queue: turn.relay.transport.queue, err: error });
      return 0;
    } finally {
      turn.busy = false;
    }
  }

  async #housekeep(): Promise<void> {
    const now = performance.now();
    if (now >= this.#due.workers) {
      this.#due.workers = now + workersEveryMs;
      this.#workers = await countWorkers(this.#parts.postgres);
      await this.#parts.postgres.query('UPDATE treadle.relay SET beat_at = now()');
    }
    if (now >= this.#due.epochs) {
      this.#due.epochs = now + epochEveryMs;
      const idle = [...this.#queues.values()].filter((turn) => !turn.busy && now >= turn.notBefore);
      for (const turn of idle) void this.#take(turn, () => turn.relay.checkEpoch().then(() => 0));
    }
    if (now >= this.#due.takeOver) {
      this.#due.takeOver = Number.POSITIVE_INFINITY;
      for (const turn of this.#queues.values()) {
        void this.#take(turn, async () => {
          turn.ready = (await turn.relay.takeOver()) || turn.ready;
          return 0;
        });
      }
    }
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

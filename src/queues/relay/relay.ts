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
const awakeForMs = 500;
const awakePollMs = 8;
const asleepPollMs = 250;
const epochEveryMs = 1_000;
const workersEveryMs = 2_000;
const reconcileEveryMs = 15_000;
const maxFailureDelayMs = 2_000;
const slowTurnMs = 100;
const answerWithinMs = 5_000;

interface Round {
  readonly added: number;
  readonly waiting: boolean;
  readonly nextDueAt: Date | null;
}

/** One queue in the relay's hands: at most one look at a time, and a pause after each failure, so that a queue whose server is away holds up nobody else. */
interface QueueTurn {
  readonly relay: QueueRelay;
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
  #due = { epochs: 0, workers: 0, reconcile: performance.now() + reconcileEveryMs };
  #running: Promise<void> | undefined;
  #stopListening: (() => Promise<void>) | undefined;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#queues = new Map(
      parts.transports.map((transport) => {
        const relay = new QueueRelay(parts.postgres, transport);
        return [transport.queue, { relay, paused: undefined, busy: false, failures: 0, notBefore: 0 }];
      }),
    );
  }

  /** Begins to stand for leadership. */
  async start(): Promise<void> {
    const wake = (): void => this.#alarm.ring();
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
        if (await tryLock(client, advisoryLocks.relay)) return await this.#lead(client, lost.signal);
        await this.#alarm.sleep(takeoverEveryMs);
      }
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async #lead(client: Client, lost: AbortSignal): Promise<void> {
    this.#parts.log.info({ event: 'relay.leads' });
    await client.query('UPDATE treadle.relay SET holder = $1, sleeping = false', [`${process.pid}`]);
    this.#due = { epochs: 0, workers: 0, reconcile: performance.now() + reconcileEveryMs };
    for (const turn of this.#queues.values()) {
      turn.paused = undefined;
      await turn.relay.takeOver();
    }
    let idleSince = performance.now();
    let failures = 0;
    while (!this.#closing.signal.aborted && !lost.aborted) {
      this.#parts.beat?.();
      try {
        const round = await this.#round();
        failures = 0;
        if (round.added > 0) idleSince = performance.now();
        else if (round.waiting || performance.now() - idleSince < awakeForMs) await this.#alarm.sleep(awakePollMs);
        else await this.#sleepUntilWoken(lost);
      } catch (error) {
        failures += 1;
        this.#parts.log.warn({ event: 'relay.round-failed', err: error });
        await this.#alarm.sleep(Math.min(maxFailureDelayMs, 50 * 2 ** failures));
      }
    }
  }

  /** One look at the ledger: what is due goes to every queue that has room. */
  async #round(): Promise<Round> {
    await this.#housekeep();
    const { rows } = await this.#parts.postgres.queryPrepared<{
      queues: string[];
      paused: string[];
      next_due_at: Date | null;
    }>(loadSql(findDue), []);
    const { queues = [], paused = [], next_due_at: nextDueAt = null } = rows[0] ?? {};
    this.#tellPaused(paused);
    const now = performance.now();
    const ready = queues
      .filter((queue) => !paused.includes(queue))
      .flatMap((queue) => this.#queues.get(queue) ?? [])
      .filter((turn) => !turn.busy && now >= turn.notBefore);
    const turns = ready.map((turn) =>
      this.#take(turn, () => turn.relay.relay(this.#workers.get(turn.relay.transport.queue) ?? 0)),
    );
    const added = await withTimeout(Promise.all(turns), slowTurnMs, 'a queue').catch((): number[] => []);
    return { added: added.reduce((sum, count) => sum + count, 0), waiting: ready.length > 0, nextDueAt };
  }

  /** Whoever paused or resumed a queue told it too, if its server was there to be told. */
  #tellPaused(paused: readonly string[]): void {
    const now = performance.now();
    for (const [queue, turn] of this.#queues) {
      const wanted = paused.includes(queue);
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

  async #take(turn: QueueTurn, work: () => Promise<number>): Promise<number> {
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
    if (now >= this.#due.reconcile) {
      this.#due.reconcile = now + reconcileEveryMs;
      void this.#parts.reconciler
        .reconcile()
        .catch((error: unknown) => this.#parts.log.warn({ event: 'reconciler.failed', err: error }));
    }
  }

  /**
   * From here on every commit with a due job sends NOTIFY. A transaction that looked before `sleeping` was set is found
   * by the poll.
   */
  async #sleepUntilWoken(lost: AbortSignal): Promise<void> {
    await this.#setSleeping(true);
    try {
      while (!this.#closing.signal.aborted && !lost.aborted) {
        this.#parts.beat?.();
        const { added, waiting, nextDueAt } = await this.#round();
        if (added > 0 || waiting) return;
        const dueInMs = nextDueAt === null ? asleepPollMs : nextDueAt.getTime() - Date.now();
        await this.#alarm.sleep(Math.max(1, Math.min(asleepPollMs, dueInMs)));
      }
    } finally {
      await this.#setSleeping(false);
    }
  }

  async #setSleeping(sleeping: boolean): Promise<void> {
    await this.#parts.postgres.query('UPDATE treadle.relay SET sleeping = $1', [sleeping]);
  }
}

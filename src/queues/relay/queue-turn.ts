import { withTimeout } from '../../lib/batching/with-timeout.ts';
import type { Log } from '../../lib/log/create-log.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { QueueTransport } from '../transport.ts';
import { QueueRelay, type RelayRequest } from './queue-relay.ts';

const maxFailureDelayMs = 2_000;
const answerWithinMs = 5_000;
const epochEveryMs = 1_000;

export interface QueueTurnParts {
  readonly postgres: Postgres;
  readonly transport: QueueTransport;
  readonly log: Log;
}

/**
 * One queue in the relay's hands: one thing is done for it at a time, and after each failure there is a pause, so that a
 * queue whose server is away holds up nobody else.
 */
export class QueueTurn {
  readonly queue: string;
  readonly #relay: QueueRelay;
  readonly #log: Log;
  /** The ledger may have due jobs for this queue. */
  #ready = false;
  /** What the queue has been told; undefined until it has. */
  #paused: boolean | undefined;
  #takeOverAt = Number.POSITIVE_INFINITY;
  #checkEpochAt = 0;
  #running: Promise<number> | undefined;
  #failures = 0;
  #notBefore = 0;
  #heldUntil = 0;
  #released = false;

  constructor({ postgres, transport, log }: QueueTurnParts) {
    this.queue = transport.queue;
    this.#relay = new QueueRelay(postgres, transport);
    this.#log = log;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Until when a limit holds back what is due. */
  get heldUntil(): number {
    return this.#heldUntil;
  }

  markReady(): void {
    this.#ready = true;
  }

  /** A job has ended: its limit may let the next begin. */
  release(): void {
    this.#heldUntil = 0;
    this.#released = true;
  }

  /** Nothing is under way for the queue, and it need not be left alone. */
  isFree(nowMs: number): boolean {
    return this.#running === undefined && nowMs >= this.#notBefore;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /**
   * Begins to lead: takes up what the leader before picked last, and once more at `againAtMs`, because it may still have
   * been picking.
   */
  async lead(againAtMs: number): Promise<void> {
    this.#paused = undefined;
    this.#takeOverAt = againAtMs;
    this.#checkEpochAt = 0;
    this.#ready = await this.#relay.takeOver();
  }

  /** Does what is to be done now and then, one thing at a time: looks what else the leader before picked, and whether the queue has lost what it held. */
  keepHouse(nowMs: number): void {
    if (!this.isFree(nowMs)) return;
    if (nowMs >= this.#takeOverAt) {
      this.#takeOverAt = Number.POSITIVE_INFINITY;
      void this.#work(async () => {
        this.#ready = (await this.#relay.takeOver()) || this.#ready;
        return 0;
      });
    } else if (nowMs >= this.#checkEpochAt) {
      this.#checkEpochAt = nowMs + epochEveryMs;
      void this.#work(async () => {
        await this.#relay.checkEpoch();
        return 0;
      });
    }
  }

  /** Adds what is due and has room; answers how many jobs. */
  relay(request: RelayRequest): Promise<number> {
    return this.#work(async () => {
      this.#heldUntil = 0;
      this.#released = false;
      const { added, more, heldMs } = await this.#relay.relay(request);
      this.#ready = more;
      if (heldMs !== undefined && !this.#released) this.#heldUntil = performance.now() + heldMs;
      return added;
    });
  }

  /** Whoever paused or resumed the queue told it too, if its server was there to be told. */
  tellPaused(paused: boolean, nowMs: number, told: () => void): void {
    const { transport } = this.#relay;
    if (this.#relay.wasEmptied()) this.#paused = undefined;
    // pg-boss' consumers read the ledger themselves.
    if (this.#paused === paused || !this.isFree(nowMs) || transport.kind === 'pg-boss') return;
    void this.#work(async () => {
      await withTimeout(transport.setPaused(paused), answerWithinMs, this.queue);
      this.#paused = paused;
      told();
      return 0;
    });
  }

  #work(work: () => Promise<number>): Promise<number> {
    this.#running = this.#guard(work).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #guard(work: () => Promise<number>): Promise<number> {
    try {
      const added = await work();
      this.#failures = 0;
      return added;
    } catch (error) {
      this.#failures += 1;
      this.#notBefore = performance.now() + Math.min(maxFailureDelayMs, 50 * 2 ** this.#failures);
      this.#log.warn({ event: 'relay.queue-failed', queue: this.queue, err: error });
      return 0;
    }
  }
}

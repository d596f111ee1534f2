/** What lies in a queue for one job, whichever transport carries it. */
export interface Envelope {
  /** Null: it is too large to be carried, and lies in treadle.payloads. */
  readonly payload: Readonly<Record<string, unknown>> | null;
  readonly tenant: string;
  readonly attemptsMade: number;
  readonly attemptsAllowed: number;
  readonly timeoutMs: number;
  /** How often the job came back to the ledger before; see treadle.jobs.returns. */
  readonly returns: number;
  /** False for a job that was enqueued straight to the queue and has no row in the ledger. */
  readonly tracked: boolean;
  /** How often the job has waited for its children; absent before the first time. */
  readonly awaits?: number;
  /** So many of its children failed, and the job is to fail for it. */
  readonly childrenFailed?: number;
  /** The relay counts how many of its kind run: it is to be told of the end. */
  readonly limited?: boolean;
  /** The item may be in the queue a second time, or have ended: the ledger must be asked before it runs. */
  readonly unsure?: boolean;
  /** When it was due, in ms since 1970; absent for a job that was due when it was accepted, which its id tells. */
  readonly dueMs?: number;
  /** The trace it belongs to, see treadle.jobs.traceparent. */
  readonly traceparent?: string;
}

export interface QueueItem {
  readonly id: string;
  readonly name: string;
  readonly envelope: Envelope;
}

/**
 * Several jobs that lie in a queue as one entry, so that short jobs are given out and taken out at the cost of one. Each
 * runs, ends and is retried on its own; before they run the ledger is asked which of them still stand, see
 * {@link BundleLedger}.
 */
export interface Bundle {
  readonly id: string;
  readonly items: readonly QueueItem[];
}

export type QueueEntry = QueueItem | Bundle;

export const isBundle = (entry: QueueEntry): entry is Bundle => 'items' in entry;

/** The id of a job in its queue: the ledger's, and after a return or a change the number of that as well. */
export const transportIdOf = (id: string, returns: number): string => (returns === 0 ? id : `${id}.${returns}`);

export const ledgerIdOf = (transportId: string): string => transportId.split('.', 1)[0] ?? transportId;

/**
 * One queue of one transport, as the relay and the board see it. Every method may throw a connection error; adding an
 * entry that is there already does nothing.
 */
export interface QueueTransport {
  readonly queue: string;
  readonly kind: 'bullmq' | 'pg-boss';
  /** Whether entries may be bundles. */
  readonly bundles: boolean;
  /** A word that changes when the transport has lost what was in it (Redis flushed or replaced). */
  epoch(): Promise<string>;
  /** How often the way to its server was lost and found again: what it held may have suffered. */
  outages(): number;
  /** Adds the entries in order; `first` puts them before everything that waits. */
  add(entries: readonly QueueEntry[], options?: { readonly first?: boolean }): Promise<void>;
  /** How many entries wait to be taken. */
  backlog(): Promise<number>;
  /** Which of these entries are still in the queue: waiting, delayed or active. */
  known(ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** Takes waiting entries out; active ones stay. Answers the ids that are no longer in the queue. */
  remove(ids: readonly string[]): Promise<ReadonlySet<string>>;
  setPaused(paused: boolean): Promise<void>;
  close(): Promise<void>;
}

/** One item handed to a worker. */
export interface Delivery extends QueueItem {
  /** The ledger's id. */
  readonly jobId: string;
  readonly queue: string;
  /** Times this item was given out before and not finished: a worker died or lost its lock. */
  readonly stalls: number;
  /** True when this item may have been started before, so that the ledger must be asked first. */
  readonly startedBefore: boolean;
}

/** What the consumer does with the item after the attempt. The ledger has been written already. */
export type Disposition =
  /** Take it out of the queue. */
  | 'remove'
  /** Put it back, at no cost: another worker takes it at once. */
  | 'hand-back'
  /** Leave it: the lock is lost, so it belongs to somebody else. */
  | 'abandon';

/** Whether an attempt has lost its lock. One of these is made for every job, so it is less than an AbortController. */
export class LockLoss {
  /** Called once when the lock is lost. */
  onLost: (() => void) | undefined;
  #lost = false;

  get lost(): boolean {
    return this.#lost;
  }

  lose(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.onLost?.();
  }
}

export interface Attempt {
  readonly delivery: Delivery;
  /** Of attempts that one call of their handler runs: the same object for all, and how many they are. */
  readonly together?: { readonly count: number };
  readonly lock: LockLoss;
  /** Called when the handler has ended and only writing is left, so that another handler may begin. */
  readonly handlerEnded: () => void;
  /** Asks the transport whether the item is still this attempt's; true also renews the lock. */
  holdsLock(): boolean | Promise<boolean>;
}

/** Runs one attempt from beginning to end, writes what came of it to the ledger, and never throws. */
export type RunAttempt = (attempt: Attempt) => Promise<Disposition>;

export interface ConsumerOptions {
  readonly queue: string;
  readonly concurrency: number;
  readonly lockMs: number;
  readonly run: RunAttempt;
  /** Whether one call of their handler runs the jobs of this name that come in one bundle. */
  readonly runsTogether: (name: string) => boolean;
}

/** What the ledger knows of the jobs in a bundle. */
export interface BundleLedger {
  /** Those that still stand for open jobs; only they may be run. Waits out a Postgres that can't be reached, until it is closed. */
  admit(bundle: string, items: readonly Delivery[]): Promise<readonly Delivery[]>;
  /** Makes entries of their own of those that still stand for open jobs, for other workers to take; their place in the bundle is void from then on. */
  split(bundle: string, items: readonly Delivery[]): Promise<void>;
  close(): Promise<void>;
}

/** Takes items of one queue and runs them. */
export interface Consumer {
  /** Stops taking items. Running attempts go on. */
  pause(): Promise<void>;
  /** Waits for the running attempts and gives everything free. */
  close(): Promise<void>;
}

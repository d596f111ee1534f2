import { existsSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import type { CallControl, JobContext, JobHandler, ThreadIsolation } from '../../queues/handle.ts';
import { isOutcome, type Outcome } from '../../queues/outcome.ts';
import { AttemptAborted } from '../runtime/outcome-of.ts';
import { JobThread, type Answer } from './job-thread.ts';
import { errorOfWire } from './wire-error.ts';

export interface ThreadPoolOptions {
  /** The most threads at once; the machine's cores by default. */
  readonly size?: number;
  /** How long a thread without work is kept. */
  readonly idleMs?: number;
}

interface Waiting {
  readonly maxHeapMb: number | undefined;
  readonly take: (thread: JobThread) => void;
}

const loadWithinMs = 30_000;

/** The module to load: where only the compiled `.js` beside the `.ts` exists, that. */
const moduleOf = (name: string, { module }: ThreadIsolation): string => {
  const compiled = new URL(module.href.replace(/\.ts$/, '.js'));
  const found = [module, compiled].find((url) => url.protocol === 'file:' && existsSync(url));
  if (found) return found.href;
  const asked = module.protocol === 'file:' ? fileURLToPath(module) : module.href;
  throw new AppError('CONFIGURATION_ERROR', `the module of ${name}, ${asked}, does not exist`, {});
};

const outcomeOf = (answer: Answer): Outcome => {
  switch (answer.kind) {
    case 'completed':
      return { kind: 'completed', result: JSON.parse(answer.resultJson) };
    case 'ended': {
      const outcome: unknown =
        answer.error && typeof answer.outcome === 'object'
          ? { ...answer.outcome, error: errorOfWire(answer.error) }
          : answer.outcome;
      if (isOutcome(outcome)) return outcome;
      throw new AppError('INTERNAL_ERROR', 'a thread answered what is no outcome', {});
    }
    case 'threw':
      throw errorOfWire(answer.error);
    case 'loaded':
      throw new AppError('INTERNAL_ERROR', 'a thread answered another question', {});
    default:
      return answer satisfies never;
  }
};

/**
 * The threads of a worker in which handlers with `isolation: 'thread'` run. They are started when needed, used again, and
 * ended when they have been idle for a while; jobs beyond their number wait for one, and their deadline with them.
 */
export class ThreadPool {
  readonly #size: number;
  readonly #idleMs: number;
  readonly #threads = new Set<JobThread>();
  /** Those without work, and the timers that end them. */
  readonly #idle = new Map<JobThread, NodeJS.Timeout>();
  readonly #waiting: Waiting[] = [];

  constructor({ size = os.availableParallelism(), idleMs = 30_000 }: ThreadPoolOptions = {}) {
    this.#size = size;
    this.#idleMs = idleMs;
  }

  /**
   * The handler as a worker can call it: where it wants a thread, once its module was loaded in one to see that it can be.
   * @throws AppError CONFIGURATION_ERROR naming the module.
   */
  async bind(handler: JobHandler): Promise<JobHandler> {
    const { contract, thread: isolation } = handler;
    if (!isolation) return handler;
    const module = moduleOf(contract.name, isolation);
    await this.#load(contract.name, module, isolation.maxHeapMb);
    return {
      // The thread parses it: what a schema makes of a payload need not survive the way there.
      contract: { ...contract, payload: z.unknown() },
      run: (context, call) => this.#run(context, call, { module, maxHeapMb: isolation.maxHeapMb }),
    };
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    await Promise.all([...this.#threads].map((thread) => this.#discard(thread)));
  }

  async #run(
    context: JobContext,
    call: CallControl,
    { module, maxHeapMb }: { readonly module: string; readonly maxHeapMb: number | undefined },
  ): Promise<Outcome> {
    const { job, payload, signal, log, progress } = context;
    call.holdDeadline();
    const thread = await this.#take(maxHeapMb, signal);
    const abort = (): void => {
      const { abortCause, message } =
        signal.reason instanceof AttemptAborted ? signal.reason : new AttemptAborted('shutdown', 'aborted');
      thread.tell({ kind: 'abort', cause: abortCause, message });
    };
    call.onAbandoned = () => void this.#discard(thread);
    call.startDeadline();
    try {
      const answering = thread.ask(
        { kind: 'run', module, name: job.name, payload, job, logLevel: log.level },
        progress,
      );
      signal.addEventListener('abort', abort, { once: true });
      return outcomeOf(await answering);
    } finally {
      call.onAbandoned = undefined;
      signal.removeEventListener('abort', abort);
      this.#give(thread);
    }
  }

  async #load(name: string, module: string, maxHeapMb: number | undefined): Promise<void> {
    const thread = await this.#take(maxHeapMb);
    try {
      const answer = await withTimeout(thread.ask({ kind: 'load', module, name }), loadWithinMs, fileURLToPath(module));
      if (answer.kind === 'threw') throw errorOfWire(answer.error);
      this.#give(thread);
    } catch (error) {
      await this.#discard(thread);
      if (error instanceof AppError && error.code === 'CONFIGURATION_ERROR') throw error;
      const text = `the module of ${name}, ${fileURLToPath(module)}, does not load`;
      throw new AppError('CONFIGURATION_ERROR', `${text}: ${String(error)}`, {}, { cause: error });
    }
  }

  /** @throws the signal's reason, when that aborts before there is a thread. */
  #take(maxHeapMb: number | undefined, signal?: AbortSignal): Promise<JobThread> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal?.reason);
      };
      const waiting: Waiting = {
        maxHeapMb,
        take: (thread) => {
          signal?.removeEventListener('abort', leave);
          resolve(thread);
        },
      };
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
      this.#deal();
    });
  }

  /** A thread is free again, if it has not ended. */
  #give(thread: JobThread): void {
    if (!this.#threads.has(thread)) return;
    this.#idle.set(thread, setTimeout(() => void this.#discard(thread), this.#idleMs).unref());
    this.#deal();
  }

  /** Gives threads to those who wait, in order. */
  #deal(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const thread = this.#freeThread(next.maxHeapMb);
      if (!thread) return;
      clearTimeout(this.#idle.get(thread));
      this.#idle.delete(thread);
      this.#waiting.shift();
      next.take(thread);
    }
  }

  #freeThread(maxHeapMb: number | undefined): JobThread | undefined {
    const idle = [...this.#idle.keys()];
    const fitting = idle.find((thread) => thread.maxHeapMb === maxHeapMb);
    if (fitting) return fitting;
    if (this.#threads.size >= this.#size) {
      const [other] = idle;
      if (!other) return undefined;
      this.#remove(other);
      void other.terminate();
    }
    const thread = new JobThread(maxHeapMb, (ended) => this.#forget(ended));
    this.#threads.add(thread);
    return thread;
  }

  async #discard(thread: JobThread): Promise<void> {
    this.#forget(thread);
    await thread.terminate();
  }

  #forget(thread: JobThread): void {
    if (this.#remove(thread)) this.#deal();
  }

  #remove(thread: JobThread): boolean {
    clearTimeout(this.#idle.get(thread));
    this.#idle.delete(thread);
    return this.#threads.delete(thread);
  }
}

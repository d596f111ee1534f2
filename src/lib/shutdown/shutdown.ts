import { AppError } from '../errors/app-error.ts';
import type { Log } from '../log/create-log.ts';

type Closer = () => Promise<void> | void;

export interface ShutdownOptions {
  readonly log: Log;
  /** How long all closers together may take. */
  readonly graceMs: number;
}

/** Signals within this time are one: Ctrl-C reaches the process from the terminal and from npm. */
const sameSignalMs = 1_000;

/** For the closers that are left when one has used up the grace. */
const lastMs = 3_000;

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** False when the time ran out first. */
const withinTime = async (close: Closer, limitMs: number): Promise<boolean> => {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), Math.max(0, limitMs));
  try {
    return await Promise.race([
      Promise.resolve()
        .then(close)
        .then(() => true),
      late.promise,
    ]);
  } finally {
    clearTimeout(timer);
  }
};

/**
 * Ends a process in order. Made before anything is started, so that a signal during the start is heard; what is started
 * then says how it is closed, and is closed in reverse order.
 */
export class Shutdown {
  /** Aborts when the process shall end: the first signal, {@link begin}, or an error that nobody caught. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #closers: { readonly name: string; readonly close: Closer }[] = [];
  readonly #options: ShutdownOptions;
  #begunAt = 0;
  #faulty = false;
  #ending: Promise<number> | undefined;

  constructor(options: ShutdownOptions) {
    this.#options = options;
    this.signal = this.#controller.signal;
    for (const signal of signals) process.on(signal, () => this.#onSignal(signal));
    process.on('uncaughtException', (error) => this.#onFault('process.uncaught-exception', error));
    process.on('unhandledRejection', (error) => this.#onFault('process.unhandled-rejection', error));
  }

  /** Adds what closes something that has been started. One added during the shutdown is run at once. */
  onClose(name: string, close: Closer): void {
    this.#closers.push({ name, close });
  }

  /**
   * Starts something and answers it; `close` is what ends it. A shutdown that begins meanwhile aborts `signal`, waits for
   * the start to end one way or the other, and closes what came of it.
   * @throws AppError INTERRUPTED once the shutdown has begun; else what `start` throws.
   */
  async start<T>(
    name: string,
    start: (signal: AbortSignal) => Promise<T>,
    close: (started: T) => Promise<void> | void,
  ): Promise<T> {
    this.signal.throwIfAborted();
    const starting = start(this.signal);
    this.onClose(name, () => starting.then(close, () => undefined));
    const started = await starting;
    this.signal.throwIfAborted();
    return started;
  }

  /**
   * Runs the closers and ends the process: exit code 0, or 1 when a closer failed, the grace ran out, or `exitCode` says
   * so. Calling it again changes nothing.
   */
  begin(reason: string, exitCode = 0): void {
    if (this.#ending) return;
    this.#options.log.info({ event: 'shutdown.begun', reason });
    this.#begunAt = performance.now();
    this.#controller.abort(new AppError('INTERRUPTED', 'the process is shutting down', {}));
    this.#ending = this.#close(exitCode);
    void this.#ending.then((code) => {
      this.#options.log.info({ event: 'shutdown.done', exitCode: code });
      process.exit(code);
    });
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (!this.#ending) {
      this.begin(signal);
    } else if (performance.now() - this.#begunAt > sameSignalMs) {
      this.#options.log.warn({ event: 'shutdown.forced', signal });
      process.exit(1);
    }
  }

  #onFault(event: string, error: unknown): void {
    this.#options.log.fatal({ event, err: error });
    this.#faulty = true;
    this.begin(event, 1);
  }

  async #close(exitCode: number): Promise<number> {
    const { log, graceMs } = this.#options;
    let code = exitCode;
    let deadline = this.#begunAt + graceMs;
    for (let next = this.#closers.pop(); next; next = this.#closers.pop()) {
      const { name, close } = next;
      try {
        if (await withinTime(close, deadline - performance.now())) continue;
        log.error({ event: 'shutdown.late', closer: name, graceMs });
        deadline = Math.max(deadline, this.#begunAt + graceMs + lastMs);
      } catch (error) {
        log.error({ event: 'shutdown.closer-failed', closer: name, err: error });
      }
      code = 1;
    }
    return this.#faulty ? 1 : code;
  }
}

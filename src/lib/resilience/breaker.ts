import {
  circuitBreaker,
  CircuitState,
  ConsecutiveBreaker,
  DelegateBackoff,
  handleWhen,
  type CircuitBreakerPolicy,
} from 'cockatiel';
import { AppError } from '../errors/app-error.ts';

export interface BreakerOptions {
  /** So many failures in a row open it; 5 by default. */
  readonly failures?: number;
  /** How long it stays open before one call tries the service; 30 s by default. */
  readonly openMs?: number;
}

/** `half-open`: the time is over, and the next call tries the service, or one does. */
export type BreakerState = 'closed' | 'half-open' | 'open';

/** A call that never reached the service says nothing about it. Its `cause` is what kept it back. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
}

const saysNothing = (error: unknown): boolean =>
  error instanceof NotSent || (error instanceof AppError && error.code === 'INTERRUPTED');

/** Codes that may pass and are no failures: a service that asks for a pause is well. */
const noFailures: ReadonlySet<string> = new Set(['RATE_LIMITED', 'INTERRUPTED']);

const isFailure = (error: unknown): boolean =>
  error instanceof AppError && error.retryable && !noFailures.has(error.code);

/**
 * Lets no calls through after failures in a row, until one of them has tried the service with success; others wait for how
 * that ends. A success clears the count. What comes of calls are errors of the catalogue, or {@link NotSent}.
 */
export class Breaker {
  readonly #policy: CircuitBreakerPolicy;
  #openUntil = 0;

  /** `onChange` hears each state when it begins, and why the breaker opened. */
  constructor(
    { failures = 5, openMs = 30_000 }: BreakerOptions,
    onChange: (state: BreakerState, error: unknown) => void,
  ) {
    // A trial that says nothing must neither close the breaker nor cost another wait: the next call is the trial then.
    const policy: CircuitBreakerPolicy = circuitBreaker(
      handleWhen((error) => isFailure(error) || (policy.state === CircuitState.HalfOpen && saysNothing(error))),
      {
        breaker: new ConsecutiveBreaker(failures),
        halfOpenAfter: new DelegateBackoff(({ result }) =>
          'error' in result && saysNothing(result.error) ? 0 : openMs,
        ),
      },
    );
    policy.onBreak((reason) => {
      const error = 'error' in reason ? reason.error : undefined;
      this.#openUntil = Date.now() + (saysNothing(error) ? 0 : openMs);
      onChange('open', error);
    });
    policy.onHalfOpen(() => onChange('half-open', undefined));
    policy.onReset(() => onChange('closed', undefined));
    this.#policy = policy;
  }

  get state(): BreakerState {
    if (this.#policy.state === CircuitState.Closed) return 'closed';
    return this.remainingMs > 0 ? 'open' : 'half-open';
  }

  /** How long no call is let through; 0 unless open. */
  get remainingMs(): number {
    return this.#policy.state === CircuitState.Open ? Math.max(0, this.#openUntil - Date.now()) : 0;
  }

  /** @throws BrokenCircuitError while open. */
  execute<T>(fn: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return this.#policy.execute(fn, signal);
  }
}

import type { Log } from '../log/create-log.ts';
import type { Family, Meter } from '../telemetry/meter.ts';
import type { Metric, Sample } from '../telemetry/metric-text.ts';
import type { Count } from '../telemetry/metric-values.ts';
import type { BreakerState } from './breaker.ts';
import type { Rate } from './limit-store.ts';
import type { RateLimits } from './rate-limits.ts';
import { RemoteService, type RemoteServiceOptions } from './remote-service.ts';

export interface RemoteServicesParts {
  readonly meter: Meter;
  readonly log: Log;
  readonly limits: RateLimits;
}

export interface OpenOptions extends RemoteServiceOptions {
  /** What all processes together may send; no limit without. */
  readonly rate?: Rate | undefined;
}

const breakerStates: readonly BreakerState[] = ['closed', 'half-open', 'open'];

const gauge = (name: string, help: string, samples: readonly Sample[]): Metric => ({
  name,
  help,
  type: 'gauge',
  samples,
});

/** The remote services that this process calls, with what becomes of the calls in its metrics. */
export class RemoteServices {
  readonly #parts: RemoteServicesParts;
  readonly #open = new Map<string, RemoteService>();
  readonly #calls: Family<Count>;
  readonly #retries: Family<Count>;
  readonly #fallbacks: Family<Count>;

  constructor(parts: RemoteServicesParts) {
    const { meter } = parts;
    this.#parts = parts;
    this.#calls = meter.counter('treadle_remote_calls_total', 'Calls of remote services, by outcome.');
    this.#retries = meter.counter('treadle_remote_retries_total', 'Attempts at calls beyond the first.');
    this.#fallbacks = meter.counter('treadle_remote_fallbacks_total', 'Failed calls that a fallback answered.');
    meter.addSource('remote-services', () => this.#gauges());
  }

  /** For the client of a service, which keeps it: once a name. */
  open({ rate, ...options }: OpenOptions): RemoteService {
    const { name } = options;
    if (this.#open.has(name)) throw new Error(`the remote service ${name} is open already`);
    const { limits, log } = this.#parts;
    const retries = this.#retries.with({ service: name });
    const fallbacks = this.#fallbacks.with({ service: name });
    const service = new RemoteService(options, {
      rateLimiter: rate && limits.limiter(name, rate),
      onCall: (outcome) => this.#calls.with({ service: name, outcome }).add(),
      onRetry: () => retries.add(),
      onFallback: () => fallbacks.add(),
      onBreaker: (state, error) => {
        if (state === 'open') log.warn({ event: 'remote.breaker-opened', service: name, err: error });
        else log.info({ event: `remote.breaker-${state}`, service: name });
      },
    });
    this.#open.set(name, service);
    return service;
  }

  async close(): Promise<void> {
    await this.#parts.limits.close();
  }

  #gauges(): readonly Metric[] {
    const services = [...this.#open.values()].map(({ name, status }) => ({ name, status }));
    return [
      gauge(
        'treadle_remote_calls',
        'Calls of remote services that run, and that wait for one to end.',
        services.flatMap(({ name, status: { running, waiting } }) =>
          Object.entries({ running, waiting }).map(([state, value]) => ({ labels: { service: name, state }, value })),
        ),
      ),
      gauge(
        'treadle_remote_breaker_state',
        '1 for the state that the breaker of the service is in.',
        services.flatMap(({ name, status }) =>
          breakerStates.map((state) => ({ labels: { service: name, state }, value: Number(status.breaker === state) })),
        ),
      ),
    ];
  }
}

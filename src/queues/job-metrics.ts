import type { Meter, Family } from '../lib/telemetry/meter.ts';
import type { Count, Distribution } from '../lib/telemetry/metric-values.ts';
import type { JobRegistry } from './job-registry.ts';
import type { Outcome } from './outcome.ts';

const durations = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800];
const sizes = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

type FinishedState = 'completed' | 'dead' | 'cancelled';

/** The values of one job in one queue, found once and then only added to. */
interface JobValues {
  readonly duration: Distribution;
  readonly wait: Distribution;
  readonly enqueued: Count;
  readonly outcomes: Partial<Record<Outcome['kind'], Count>>;
  readonly finished: Partial<Record<FinishedState, Count>>;
}

/** What this process did with jobs, by queue and job. Names that no contract has are counted together, as `unknown`. */
export class JobMetrics {
  readonly #registry: JobRegistry;
  readonly #enqueued: Family<Count>;
  readonly #attempts: Family<Count>;
  readonly #finished: Family<Count>;
  readonly #durations: Family<Distribution>;
  readonly #waits: Family<Distribution>;
  readonly #relayed: Family<Distribution>;
  readonly #written: Family<Distribution>;
  readonly #byQueue = new Map<string, Map<string, JobValues>>();
  #last: { readonly queue: string; readonly job: string; readonly values: JobValues } | undefined;

  constructor(meter: Meter, registry: JobRegistry) {
    this.#registry = registry;
    this.#enqueued = meter.counter('treadle_jobs_enqueued_total', 'Jobs that this process enqueued.');
    this.#attempts = meter.counter('treadle_attempts_total', 'Attempts that ended in this process, by outcome.');
    this.#finished = meter.counter('treadle_jobs_finished_total', 'Jobs that this process ended, by state.');
    this.#durations = meter.histogram('treadle_attempt_duration_seconds', 'How long handlers ran.', durations);
    this.#waits = meter.histogram('treadle_job_wait_seconds', 'From when a job was due to its start.', durations);
    this.#relayed = meter.histogram('treadle_relay_batch_jobs', 'Jobs that the relay moved at a time.', sizes);
    this.#written = meter.histogram('treadle_ledger_batch_jobs', 'Jobs written to the ledger at a time.', sizes);
  }

  enqueued(queue: string, job: string, jobs = 1): void {
    this.#of(queue, job).enqueued.add(jobs);
  }

  started(queue: string, job: string, waitedMs: number): void {
    this.#of(queue, job).wait.observe(Math.max(0, waitedMs) / 1_000);
  }

  ran(queue: string, job: string, outcome: Outcome['kind'], durationMs: number): void {
    const values = this.#of(queue, job);
    values.duration.observe(durationMs / 1_000);
    const count = (values.outcomes[outcome] ??= this.#attempts.with({ ...this.#labels(queue, job), outcome }));
    count.add();
  }

  finished(queue: string, job: string, state: FinishedState): void {
    const values = this.#of(queue, job);
    const count = (values.finished[state] ??= this.#finished.with({ ...this.#labels(queue, job), state }));
    count.add();
  }

  relayed(queue: string, jobs: number): void {
    if (jobs > 0) this.#relayed.with({ queue }).observe(jobs);
  }

  written(what: 'ends' | 'returns', jobs: number): void {
    this.#written.with({ what }).observe(jobs);
  }

  /** Most often it is the job of the last question. */
  #of(queue: string, job: string): JobValues {
    const last = this.#last;
    if (last && last.job === job && last.queue === queue) return last.values;
    const values = this.#byQueue.get(queue)?.get(job) ?? this.#add(queue, job);
    this.#last = { queue, job, values };
    return values;
  }

  #add(queue: string, job: string): JobValues {
    const labels = this.#labels(queue, job);
    const values: JobValues = {
      duration: this.#durations.with(labels),
      wait: this.#waits.with(labels),
      enqueued: this.#enqueued.with(labels),
      outcomes: {},
      finished: {},
    };
    // A name without a contract is looked up each time, so that nobody can fill the memory with names.
    if (labels.job === job) {
      const jobs = this.#byQueue.get(queue) ?? new Map<string, JobValues>();
      this.#byQueue.set(queue, jobs.set(job, values));
    }
    return values;
  }

  #labels(queue: string, job: string): { readonly queue: string; readonly job: string } {
    return { queue, job: this.#registry.find(job) ? job : 'unknown' };
  }
}

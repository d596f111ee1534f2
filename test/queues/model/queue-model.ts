/** What the handler does in one attempt: some answers that cost none, then one that ends it. */
export interface Step {
  /** How often it first says "not yet", by turns `deferred` and `rateLimited`. */
  readonly putOffs: number;
  readonly ending: 'complete' | 'fail' | 'fail-for-long' | 'put-off-for-long' | 'permanent';
}

/** By attempt; beyond its end attempts complete. A job that was mended completes at once. */
export type Script = readonly Step[];

/** `pending`: it runs as soon as it may; how far it is nobody knows until all is quiet. `delayed`: for an hour. */
type ModelState = 'pending' | 'delayed' | 'completed' | 'dead' | 'cancelled';

export interface ModelJob {
  readonly id: string;
  n: number;
  script: Script;
  readonly tenant: string;
  priority: number;
  readonly attemptsAllowed: number;
  state: ModelState;
  attempts: number;
  runs: number;
  readonly failures: string[];
  result: unknown;
  mended: boolean;
  /** Deduplicated jobs take a new payload while they wait for their first run. */
  deduplicationKey: string | undefined;
  /** It was cancelled while nobody knew how far it was. */
  doomed: boolean;
  /** How often this attempt has said "not yet" for an hour. */
  longPutOffs: number;
}

export const longMs = 3_600_000;

export const attemptFailed = (n: number, attempt: number): string => `job ${n} failed in attempt ${attempt}`;
export const resultOf = (n: number, attempt: number): object => ({ n, attempt });

const finished: readonly ModelState[] = ['completed', 'dead', 'cancelled'];
export const isFinished = ({ state }: ModelJob): boolean => finished.includes(state);

/** The step of the attempt that comes next. */
export const stepOf = (script: Script, attempt: number, mended: boolean): Step =>
  (mended ? undefined : script[attempt - 1]) ?? { putOffs: 0, ending: 'complete' };

/** Runs a pending job until it has ended or waits for long, as the queue is to do it. */
const play = (job: ModelJob): void => {
  while (job.state === 'pending') {
    const attempt = job.attempts + 1;
    const { putOffs, ending } = stepOf(job.script, attempt, job.mended);
    if (job.longPutOffs === 0) job.runs += putOffs;
    job.runs += 1;
    if (ending === 'put-off-for-long' && job.longPutOffs === 0) {
      job.longPutOffs = 1;
      job.state = 'delayed';
      return;
    }
    job.longPutOffs = 0;
    job.attempts = attempt;
    if (ending === 'complete' || ending === 'put-off-for-long') {
      job.state = 'completed';
      job.result = resultOf(job.n, attempt);
      return;
    }
    job.failures.push(attemptFailed(job.n, attempt));
    if (ending === 'permanent' || attempt >= job.attemptsAllowed) job.state = 'dead';
    else if (ending === 'fail-for-long') job.state = 'delayed';
  }
};

export interface ModelRequest {
  readonly n: number;
  readonly script: Script;
  readonly tenant: string;
  readonly priority: number;
  readonly attemptsAllowed: number;
  readonly delayed: boolean;
  readonly deduplicationKey: string | undefined;
}

/** The queue as its guarantees describe it, without workers, servers and time. */
export class QueueModel {
  readonly jobs: ModelJob[] = [];
  readonly idempotent = new Map<string, { readonly request: ModelRequest; readonly id: string }>();
  paused = false;

  /** The job that a request with this key changes instead of making a second one; `unknown` while it may be running already. */
  standIn({ deduplicationKey, tenant }: ModelRequest): ModelJob | 'unknown' | undefined {
    const others = this.jobs.filter(
      (job) => job.deduplicationKey === deduplicationKey && job.tenant === tenant && !isFinished(job),
    );
    if (deduplicationKey === undefined) return undefined;
    if (others.some(({ state }) => state === 'pending')) return 'unknown';
    // One that has run takes no other payload.
    return others.find(({ runs }) => runs === 0);
  }

  accept(request: ModelRequest, id: string): void {
    const { delayed, ...fields } = request;
    const before = this.standIn(request);
    if (before && before !== 'unknown') {
      before.n = request.n;
      before.script = request.script;
      before.priority = Math.min(before.priority, request.priority);
      return;
    }
    this.jobs.push({
      id,
      ...fields,
      state: delayed ? 'delayed' : 'pending',
      attempts: 0,
      runs: 0,
      failures: [],
      result: null,
      mended: false,
      doomed: false,
      longPutOffs: 0,
    });
  }

  /** Back to work with all its attempts. Its failures stay with it; it never again stands for another. */
  reopen(job: ModelJob): void {
    job.state = 'pending';
    job.attempts = 0;
    job.longPutOffs = 0;
    job.deduplicationKey = undefined;
  }

  /** An hour passes. */
  passTime(): void {
    for (const job of this.jobs) if (job.state === 'delayed') job.state = 'pending';
  }

  /** Everything that may run has run. */
  settle(): void {
    for (const job of this.jobs) play(job);
  }
}

import { z } from 'zod';
import { AppError, validationError, type Fault } from '../lib/errors/app-error.ts';
import { readAfterHeader } from '../lib/http/read-after-header.ts';
import { readLsn } from '../lib/postgres/lsn.ts';
import type { JobContract } from '../queues/define-job.ts';
import { prepareJob } from '../queues/enqueue/prepare-job.ts';
import { prepareFlow, type FlowNode } from '../queues/flows/prepare-flow.ts';
import { finishedStates, jobStates, type JobRecord, type JobState } from '../queues/ledger/job-record.ts';
import type { AcceptedJob, EnqueueOptions } from '../queues/ports.ts';
import { errorOfAnswer } from './http-error.ts';
import { jobOf, jobRecord } from './job-of.ts';
import type { TreadleClient } from './treadle-client.ts';

export interface HttpOptions {
  /** Where Treadle's API is, such as `http://127.0.0.1:4700`. */
  readonly url: string;
  /** A key with the scopes `jobs:write` and `jobs:read`; none where Treadle has none. */
  readonly apiKey?: string | undefined;
  /** Of one request; 30 s unless given. Waiting for a job has its own. */
  readonly timeoutMs?: number | undefined;
}

interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly query?: object;
  readonly body?: unknown;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

const accepted: z.ZodType<AcceptedJob> = z.object({
  id: z.string(),
  queue: z.string(),
  name: z.string(),
  state: z.enum(jobStates),
});
const batch = z.object({ jobs: z.array(accepted) });
const page = z.object({
  items: z.array(jobRecord),
  nextCursor: z.string().nullable(),
  prevCursor: z.string().nullable(),
});

const finished: ReadonlySet<JobState> = new Set(finishedStates);
/** The API waits no longer in one request. */
const longestWaitMs = 300_000;
/** What a request for waiting may take beyond the wait. */
const answerMs = 10_000;

/** What is sent for each; checked here, where a value that JSON cannot say is still itself. */
const requestsOf = (
  contract: JobContract,
  payloads: readonly unknown[],
  options: EnqueueOptions,
): readonly object[] => {
  const faults: Fault[] = [];
  for (const [index, payload] of payloads.entries()) {
    const prepared = prepareJob(contract, payload, options, undefined);
    if ('faults' in prepared)
      faults.push(...prepared.faults.map((fault) => ({ ...fault, path: `jobs[${index}].${fault.path}`, index })));
  }
  if (faults.length > 0) throw validationError('the batch', faults);
  return payloads.map((payload) => ({ name: contract.name, payload, options }));
};

const flowRequest = ({ contract, payload, options, children, onChildFailure }: FlowNode): object => ({
  name: contract.name,
  payload,
  options,
  onChildFailure,
  children: children.map(flowRequest),
});

/** One way to the API: a request, its answer as JSON or the error that it is. */
class Http {
  readonly #options: HttpOptions;
  /** What this client wrote, or heard of, it is to find: also where a replica answers. */
  #readAfter: string | undefined;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  async call({ method, path, query = {}, body, timeoutMs, signal }: Call): Promise<unknown> {
    const url = new URL(path, this.#options.url.endsWith('/') ? this.#options.url : `${this.#options.url}/`);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const endpoint = `${method} ${url.origin}${url.pathname}`;
    const limit = timeoutMs ?? this.#options.timeoutMs ?? 30_000;
    const deadline = AbortSignal.timeout(limit);
    try {
      const response = await fetch(url, {
        method,
        headers: this.#headers(body),
        signal: signal ? AbortSignal.any([deadline, signal]) : deadline,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      this.#remember(response.headers.get(readAfterHeader));
      const answer: unknown = await response.json().catch(() => undefined);
      if (response.ok) return answer;
      throw errorOfAnswer(response.status, answer, endpoint);
    } catch (error) {
      if (error instanceof AppError) throw error;
      signal?.throwIfAborted();
      if (deadline.aborted) throw new AppError('TIMEOUT', `${endpoint} has not answered`, { timeoutMs: limit });
      const details = { service: 'treadle', endpoint };
      throw new AppError('SERVICE_UNAVAILABLE', `${endpoint} cannot be reached`, details, { cause: error });
    }
  }

  #remember(position: string | null): void {
    const given = readLsn(position ?? '');
    if (position === null || given === undefined || given <= (readLsn(this.#readAfter ?? '') ?? -1n)) return;
    this.#readAfter = position;
  }

  #headers(body: unknown): Record<string, string> {
    const { apiKey } = this.#options;
    return {
      accept: 'application/json',
      ...(this.#readAfter === undefined ? {} : { [readAfterHeader]: this.#readAfter }),
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
  }
}

const pathOf = (id: string): string => `v1/jobs/${encodeURIComponent(id)}`;

const isUuid = (id: string): boolean => z.uuid().safeParse(id).success;

const unlessUnknown = (error: unknown): undefined => {
  if (error instanceof AppError && error.code === 'NOT_FOUND') return undefined;
  throw error;
};

/** Waits request by request until the job has finished, `until` has come, or the signal aborts. */
const waitFor = async (
  http: Http,
  id: string,
  { until, signal }: { readonly until: number; readonly signal: AbortSignal | undefined },
): Promise<JobRecord> => {
  for (;;) {
    const waitMs = Math.max(0, Math.min(longestWaitMs, Math.ceil(until - performance.now())));
    const query = { timeoutMs: waitMs };
    const record = jobRecord.parse(
      await http.call({ method: 'GET', path: `${pathOf(id)}/wait`, query, timeoutMs: waitMs + answerMs, signal }),
    );
    if (finished.has(record.state) || performance.now() >= until) return record;
  }
};

const checkUrl = (url: string): void => {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return;
  throw new AppError('CONFIGURATION_ERROR', 'treadleHttp: url must start with http:// or https://', {});
};

/**
 * A client over HTTP. Nothing is sent twice by itself: with an `idempotencyKey` a request whose answer was lost can be
 * repeated. `enqueueMany` takes up to 1,000, jobs whose durability is `queue` are refused.
 * @throws AppError CONFIGURATION_ERROR for a URL that is none.
 */
export const treadleHttp = (options: HttpOptions): TreadleClient => {
  checkUrl(options.url);
  const http = new Http(options);
  const act = async (id: string, action: string): Promise<JobRecord> =>
    jobRecord.parse(await http.call({ method: 'POST', path: `${pathOf(id)}/${action}` }));
  return {
    enqueue: async (contract, payload, given = {}) => {
      const prepared = prepareJob(contract, payload, given, undefined);
      if ('faults' in prepared) throw validationError(`the job ${contract.name}`, prepared.faults);
      const body = { name: contract.name, payload, options: given };
      return accepted.parse(await http.call({ method: 'POST', path: 'v1/jobs', body }));
    },
    enqueueMany: async (contract, payloads, given = {}) => {
      const jobs = requestsOf(contract, payloads, given);
      if (jobs.length === 0) return [];
      return batch.parse(await http.call({ method: 'POST', path: 'v1/jobs/batch', body: { jobs } })).jobs;
    },
    enqueueFlow: async (root) => {
      prepareFlow(root, undefined);
      return accepted.parse(await http.call({ method: 'POST', path: 'v1/flows', body: flowRequest(root) }));
    },
    find: async (contract, id) => {
      if (!isUuid(id)) return undefined;
      const record = await http.call({ method: 'GET', path: pathOf(id) }).catch(unlessUnknown);
      return record === undefined ? undefined : jobOf(contract, jobRecord.parse(record));
    },
    wait: async (contract, id, { timeoutMs = 30_000, signal } = {}) => {
      if (!isUuid(id)) return undefined;
      const record = await waitFor(http, id, { until: performance.now() + timeoutMs, signal }).catch(unlessUnknown);
      return record && jobOf(contract, record);
    },
    list: async (filter = {}, request = {}) =>
      page.parse(await http.call({ method: 'GET', path: 'v1/jobs', query: { ...filter, ...request } })),
    cancel: (id) => act(id, 'cancel'),
    retry: (id) => act(id, 'retry'),
    promote: (id) => act(id, 'promote'),
    close: () => Promise.resolve(),
  };
};

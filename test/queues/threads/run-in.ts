import { createLog } from '../../../src/lib/log/create-log.ts';
import type { CallControl, JobContext, JobHandler } from '../../../src/queues/handle.ts';

const call: CallControl = { holdDeadline: () => undefined, startDeadline: () => undefined, onAbandoned: undefined };

/** Calls a handler without a queue, and answers its result. */
export const runIn = async (handler: JobHandler, how: string, rest: object = {}): Promise<unknown> => {
  const context: Partial<JobContext> = {
    payload: { how, ...rest },
    job: { id: 'job-1', name: handler.contract.name, queue: 'threads', tenant: '', attempt: 1, attemptsAllowed: 1 },
    signal: new AbortController().signal,
    log: createLog({ level: 'warn' }),
    progress: () => undefined,
  };
  const outcome = await handler.run(context as JobContext, call);
  return outcome.kind === 'completed' ? outcome.result : outcome;
};

// What `import … from 'treadle/client'` gives: everything that enqueues, waits and reads.
export * from './client/connect-treadle.ts';
export * from './client/treadle-client.ts';
export * from './client/treadle-http.ts';
export { AppError, type Fault } from './lib/errors/app-error.ts';
export { flow, type FlowNode, type FlowOptions } from './queues/flows/prepare-flow.ts';
export type * from './queues/ledger/job-record.ts';
export type { AcceptedJob, EnqueueContext, EnqueueOptions, JobFilter } from './queues/ports.ts';

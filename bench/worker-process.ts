import { fork } from 'node:child_process';
import { once } from 'node:events';

export type ToWorker = 'memory' | 'close';

export interface Memory {
  readonly rssMb: number;
  /** After garbage was collected; with what lies outside the heap. */
  readonly heapMb: number;
}

export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'handled'; readonly count: number }
  | { readonly kind: 'began' | 'aborted'; readonly jobId: string; readonly atMs: number }
  | ({ readonly kind: 'memory' } & Memory);

/** The same clock in every process of the machine. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

export interface WorkerProcess {
  memory(): Promise<Memory>;
  close(): Promise<void>;
}

const program = new URL('./processes/treadle-worker.ts', import.meta.url);

/** Starts a worker of Treadle's in a process of its own. */
export const startWorkerProcess = async (
  postgresUrl: string,
  redisUrl: string | undefined,
  onMessage: (message: FromWorker) => void,
): Promise<WorkerProcess> => {
  const child = fork(program, [postgresUrl, ...(redisUrl === undefined ? [] : [redisUrl])], {
    execArgv: ['--expose-gc'],
  });
  const ready = Promise.withResolvers<void>();
  let answer: (memory: Memory) => void = () => undefined;
  child.on('message', (message: FromWorker) => {
    if (message.kind === 'ready') ready.resolve();
    else if (message.kind === 'memory') answer(message);
    else onMessage(message);
  });
  child.once('exit', (code) => ready.reject(new Error(`the worker ended with exit code ${code}`)));
  await ready.promise;
  return {
    memory: () =>
      new Promise((resolve) => {
        answer = resolve;
        child.send('memory' satisfies ToWorker);
      }),
    close: async () => {
      const gone = once(child, 'exit');
      child.send('close' satisfies ToWorker);
      await gone;
    },
  };
};

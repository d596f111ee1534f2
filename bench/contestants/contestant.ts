export const concurrency = 50;
export const payload = { id: 0, text: 'x'.repeat(1_000) };
export type Data = typeof payload;

/** Called by every handled job, so that all sides do the same work; a job lasts as long as what it answers. */
export type OnJob = (id: number) => void | Promise<void>;

export interface RunningWorker {
  close(): Promise<void>;
}

/** A queue that is measured, with one worker of 50 jobs at once. */
export interface Contestant {
  readonly name: 'Treadle' | 'raw BullMQ' | 'pg-boss' | 'graphile-worker';
  /** Resolves when the job is committed. */
  add(data: Data): Promise<unknown>;
  addAt(data: Data, runAt: Date): Promise<unknown>;
  addBulk(all: readonly Data[]): Promise<unknown>;
  startWorker(onJob: OnJob): Promise<RunningWorker>;
  /** After the last job was handled: resolves when its end is written, where it is. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** The same queue, but what enqueues has connections of its own, as in a process of its own. */
export const apart = (producer: Contestant, side: Contestant): Contestant => ({
  ...side,
  add: (data) => producer.add(data),
  addAt: (data, runAt) => producer.addAt(data, runAt),
  addBulk: (all) => producer.addBulk(all),
  close: async () => {
    await producer.close();
    await side.close();
  },
});

import type { BullWorker } from './bull-connection.ts';

interface Fetching {
  moveToActive(token: string, name?: string): Promise<unknown>;
}

/** Calls `turned` each time the worker's loop has asked its queue for a job: BullMQ says nothing when there is none. */
export const onFetch = (worker: BullWorker, turned: () => void): void => {
  const fetching = worker as unknown as Fetching;
  const fetch = fetching.moveToActive.bind(worker);
  fetching.moveToActive = async (...given) => {
    const job = await fetch(...given);
    turned();
    return job;
  };
};

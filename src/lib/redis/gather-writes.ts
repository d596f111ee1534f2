import type { Duplex } from 'node:stream';

/** So much is sent without waiting for more, so that the server begins while the rest is written. */
const enoughBytes = 32_768;

const gathered = new WeakSet<Duplex>();

export interface GatherOptions {
  /** The first write of a turn is sent as it comes: who asks one thing at a time has its answer sooner. */
  readonly firstAtOnce?: boolean;
}

/**
 * Sends what is written to a stream in one turn of the event loop in one system call, where each write would be one: a client
 * that writes a command at a time spends a fifth of its time there. Nothing waits longer than the turn.
 */
export const gatherWrites = (stream: Duplex, { firstAtOnce = false }: GatherOptions = {}): void => {
  if (gathered.has(stream)) return;
  gathered.add(stream);
  let corked = false;
  let isFirst = firstAtOnce;
  const uncork = (): void => {
    if (corked) stream.uncork();
    corked = false;
  };
  const endTurn = (): void => {
    isFirst = firstAtOnce;
    uncork();
  };
  const write = stream.write.bind(stream);
  Object.assign(stream, {
    write: (...args: Parameters<typeof write>): boolean => {
      if (isFirst) {
        isFirst = false;
        process.nextTick(endTurn);
        return write(...args);
      }
      if (!corked) {
        corked = true;
        stream.cork();
        process.nextTick(endTurn);
      }
      const flushed = write(...args);
      if (stream.writableLength >= enoughBytes) uncork();
      return flushed;
    },
  });
};

/**
 * A signal that also shows its abort to code that never yields, in which no event could arrive: `look` is called whenever
 * `aborted` or `throwIfAborted` is, and aborts the controller if there is word of it.
 */
export const signalThatLooks = (controller: AbortController, look: () => void): AbortSignal => {
  const { signal } = controller;
  let aborted = false;
  signal.addEventListener('abort', () => {
    aborted = true;
  });
  const isAborted = (): boolean => {
    if (!aborted) look();
    return aborted;
  };
  return Object.defineProperties(signal, {
    aborted: { get: isAborted },
    throwIfAborted: {
      value: () => {
        if (isAborted()) throw signal.reason;
      },
    },
  });
};

const benchmarks: Readonly<Record<string, () => Promise<() => Promise<void>>>> = {
  queue: async () => (await import('./queue.ts')).benchQueue,
  vectors: async () => (await import('./vectors.ts')).benchVectors,
};

export const names = Object.keys(benchmarks);

export const loadBench = (name: string): Promise<() => Promise<void>> | undefined => benchmarks[name]?.();

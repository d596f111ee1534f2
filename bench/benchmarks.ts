import type { Backend } from './servers.ts';

export interface BenchOptions {
  /** For trying a benchmark out: few jobs and one round. Its figures mean nothing. */
  readonly short: boolean;
  /** How many jobs `backlog` has wait. */
  readonly jobs: number | undefined;
  /** Only this one; both by default. */
  readonly backend: Backend | undefined;
}

export type Bench = (options: BenchOptions) => Promise<void>;

const benchmarks: Readonly<Record<string, () => Promise<Bench>>> = {
  queue: async () => (await import('./queue.ts')).benchQueue,
  latency: async () => (await import('./latency.ts')).benchLatency,
  ledger: async () => (await import('./ledger.ts')).benchLedger,
  fairness: async () => (await import('./fairness.ts')).benchFairness,
  backlog: async () => (await import('./backlog.ts')).benchBacklog,
  data: async () => (await import('./data.ts')).benchData,
  vectors: async () => (await import('./vectors.ts')).benchVectors,
  sync: async () => (await import('./sync.ts')).benchSync,
  presence: async () => (await import('./presence.ts')).benchPresence,
  locks: async () => (await import('./locks.ts')).benchLocks,
  events: async () => (await import('./events.ts')).benchEvents,
  cache: async () => (await import('./cache.ts')).benchCache,
  relevance: async () => (await import('./relevance.ts')).benchRelevance,
};

export const names = Object.keys(benchmarks);

export const loadBench = (name: string): Promise<Bench> | undefined => benchmarks[name]?.();

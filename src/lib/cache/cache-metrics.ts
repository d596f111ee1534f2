import type { Metric } from '../telemetry/metric-text.ts';

type Outcome = 'memory' | 'redis' | 'stale' | 'miss';

interface GroupCounts {
  memory: number;
  redis: number;
  stale: number;
  miss: number;
}

const mostGroups = 50;
const rest = 'other';

const rateOf = ({ memory, redis, stale, miss }: GroupCounts): number => {
  const asked = memory + redis + stale + miss;
  return asked === 0 ? 0 : (memory + redis + stale) / asked;
};

/** Counts what a cache is asked for: by the entity of the key, what stands before its first colon. */
export class CacheCounts {
  computations = 0;
  /** Computations that another process did meanwhile. */
  shared = 0;
  /** What was not kept, because it stopped to hold while it was read. */
  outdated = 0;
  /** What was not kept, because it is no plain data. */
  unserialisable = 0;
  sets = 0;
  invalidations = 0;
  readonly #groups = new Map<string, GroupCounts>();
  #last: { readonly start: string; readonly counts: GroupCounts } | undefined;

  note(key: string, outcome: Outcome): void {
    // Mostly one is of the entity of the one before.
    if (!this.#last || !key.startsWith(this.#last.start)) this.#last = this.#groupOf(key);
    this.#last.counts[outcome] += 1;
  }

  total(): GroupCounts {
    const total = { memory: 0, redis: 0, stale: 0, miss: 0 };
    for (const { memory, redis, stale, miss } of this.#groups.values()) {
      total.memory += memory;
      total.redis += redis;
      total.stale += stale;
      total.miss += miss;
    }
    return total;
  }

  hitRate(): number {
    return rateOf(this.total());
  }

  metrics(): readonly Metric[] {
    const groups = [...this.#groups];
    const outcomes = ['memory', 'redis', 'stale', 'miss'] as const;
    return [
      {
        name: 'treadle_cache_reads_total',
        help: 'Reads of the cache by entity: answered from memory, from Redis, with a stale value, or not at all.',
        type: 'counter',
        samples: groups.flatMap(([entity, counts]) =>
          outcomes.map((outcome) => ({ labels: { entity, outcome }, value: counts[outcome] })),
        ),
      },
      {
        name: 'treadle_cache_hit_rate',
        help: 'The share of reads that the cache answered since the process began, by entity.',
        type: 'gauge',
        samples: groups.map(([entity, counts]) => ({ labels: { entity }, value: rateOf(counts) })),
      },
    ];
  }

  #groupOf(key: string): { readonly start: string; readonly counts: GroupCounts } {
    const end = key.indexOf(':');
    const group = end < 0 ? rest : key.slice(0, end);
    return { start: end < 0 ? key : key.slice(0, end + 1), counts: this.#groups.get(group) ?? this.#add(group) };
  }

  #add(group: string): GroupCounts {
    const name = this.#groups.size >= mostGroups ? rest : group;
    const counts = this.#groups.get(name) ?? { memory: 0, redis: 0, stale: 0, miss: 0 };
    this.#groups.set(name, counts);
    return counts;
  }
}

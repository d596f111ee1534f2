import type { Postgres } from '../lib/postgres/postgres.ts';
import { readSlot } from '../lib/replication/slot.ts';
import type { Metric } from '../lib/telemetry/metric-text.ts';
import type { Replicator } from './replicator.ts';

const gauge = (name: string, help: string, samples: Metric['samples']): Metric => ({
  name,
  help,
  type: 'gauge',
  samples,
});

/** How the change stream of this process does, at each scrape. */
export const streamMetrics =
  ({
    replicator,
    postgres,
    slot,
  }: {
    readonly replicator: Replicator;
    readonly postgres: Postgres;
    readonly slot: string;
  }) =>
  async (): Promise<readonly Metric[]> => {
    const { state, sinks } = replicator.status;
    const found = await readSlot(postgres, slot);
    const lagMs = replicator.lagMs;
    return [
      gauge('treadle_changes_streaming', 'Whether this process follows the change stream.', [
        { labels: {}, value: state === 'streaming' ? 1 : 0 },
      ]),
      gauge(
        'treadle_changes_lag_seconds',
        'From a commit to its arrival, as last measured by a mark.',
        lagMs === undefined ? [] : [{ labels: {}, value: lagMs / 1_000 }],
      ),
      gauge(
        'treadle_changes_waiting',
        'Changed entities in memory that a sink has yet to take.',
        sinks.map(({ name, waiting }) => ({ labels: { sink: name }, value: waiting })),
      ),
      gauge(
        'treadle_changes_behind',
        'Whether a sink was left behind, and what is for it is kept in Postgres.',
        sinks.map((sink) => ({ labels: { sink: sink.name }, value: sink.state === 'behind' ? 1 : 0 })),
      ),
      gauge(
        'treadle_changes_slot_retained_bytes',
        'Log that the server keeps for the slot.',
        found ? [{ labels: {}, value: found.retainedBytes }] : [],
      ),
    ];
  };

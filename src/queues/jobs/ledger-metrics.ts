import type { Postgres } from '../../lib/postgres/postgres.ts';
import type { Metric, Sample } from '../../lib/telemetry/metric-text.ts';
import type { MetricSource } from '../../lib/telemetry/meter.ts';
import type { QueueAdmin, QueueSummary } from '../ports.ts';
import { silentAfterSeconds } from '../relay/worker-count.ts';
import { countLateSchedules } from '../schedules/late-schedules.ts';

export interface LedgerMetricsParts {
  readonly postgres: Postgres;
  readonly queues: QueueAdmin;
}

const leastKeptMs = 5_000;
/** Looking takes at most one part in so many of the time. */
const share = 20;

const gauge = (name: string, help: string, samples: readonly Sample[]): Metric => ({
  name,
  help,
  type: 'gauge',
  samples,
});

const inSeconds = (ms: number | null): number => (ms ?? 0) / 1_000;

const ofQueues = (queues: readonly QueueSummary[]): readonly Metric[] => {
  const each = (value: (queue: QueueSummary) => number): readonly Sample[] =>
    queues.map((queue) => ({ labels: { queue: queue.name }, value: value(queue) }));
  return [
    gauge(
      'treadle_queue_jobs',
      'Jobs in the ledger; of very many finished ones an estimate.',
      queues.flatMap(({ name, counts }) =>
        Object.entries(counts).map(([state, value]) => ({ labels: { queue: name, state }, value })),
      ),
    ),
    gauge(
      'treadle_queue_oldest_waiting_seconds',
      'Age of the oldest job that may run and does not yet.',
      each(({ oldestWaitingMs }) => inSeconds(oldestWaitingMs)),
    ),
    gauge(
      'treadle_relay_lag_seconds',
      'Age of the oldest job that may run and that the relay has not picked.',
      each(({ relayLagMs }) => inSeconds(relayLagMs)),
    ),
    gauge(
      'treadle_queue_paused',
      '1 while the queue is paused.',
      each(({ paused }) => Number(paused)),
    ),
  ];
};

const processes = `
  SELECT role, count(beating.id)::integer AS processes
  FROM unnest(ARRAY['api', 'worker', 'scheduler', 'replicator']) AS role
  LEFT JOIN treadle.processes AS beating ON role = ANY (beating.roles) AND beat_at > now() - make_interval(secs => $1)
  GROUP BY role`;

const look = async ({ postgres, queues }: LedgerMetricsParts): Promise<readonly Metric[]> => {
  const [summaries, late, running] = await Promise.all([
    queues.list(),
    countLateSchedules(postgres, new Date()),
    postgres.query<{ role: string; processes: number }>(processes, [silentAfterSeconds]),
  ]);
  return [
    ...ofQueues(summaries),
    gauge('treadle_schedules_late', 'Schedules with a fire that nobody dealt with for a minute.', [
      { labels: {}, value: late },
    ]),
    gauge(
      'treadle_processes',
      'Processes that beat, by role.',
      running.rows.map((row) => ({ labels: { role: row.role }, value: row.processes })),
    ),
  ];
};

/**
 * What all processes see alike, read from the ledger when somebody scrapes. However many scrape and however slow it is,
 * one look at a time is under way, and looking takes a twentieth of the time at most.
 */
export const ledgerMetrics = (parts: LedgerMetricsParts): MetricSource => {
  let last: { readonly metrics: Promise<readonly Metric[]>; until: number } | undefined;
  return () => {
    if (last && last.until > performance.now()) return last.metrics;
    const startedAt = performance.now();
    const metrics = look(parts);
    const current = { metrics, until: Number.POSITIVE_INFINITY };
    const keep = (): void => {
      const now = performance.now();
      current.until = now + Math.max(leastKeptMs, (now - startedAt) * share);
    };
    metrics.then(keep, keep);
    last = current;
    return metrics;
  };
};

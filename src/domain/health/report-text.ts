import type { ReplicaState } from '../../lib/postgres/read-replica.ts';
import type { DatabaseHealth, ServerFacts } from './types.ts';

const ms = (value: number | null): string => (value === null ? 'unknown' : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
const mb = (bytes: number | null): string => (bytes === null ? 'unknown' : `${(bytes / 1_048_576).toFixed(1)} MB`);

const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];

const serverLines = (server: ServerFacts): readonly string[] => [
  `Postgres ${server.version}${server.isReplica ? ', a replica' : ''}, running since ${server.startedAt.toISOString()}`,
  `database of ${mb(server.sizeBytes)}`,
  `${server.connections} of ${server.maxConnections} connections`,
  ...(server.isReplica ? [`behind by ${ms(server.replayLagMs)}`] : []),
];

const replicaLine = ({ name, status, lagMs, reason }: ReplicaState): string =>
  `${name}: ${status}, ${reason ?? `behind by ${ms(lagMs)}`}`;

/** A check in words, a line each; no statement shows a value. */
export const reportText = ({ status, reasons, responseTimeMs, details, timestamp }: DatabaseHealth): string => {
  const { connectionPool: pool, performance, slowQueries, errors, readReplicas, database } = details;
  const lines = [
    `Database: ${status}, at ${timestamp.toISOString()}`,
    ...reasons.map((reason) => `  ${reason}`),
    `Answers in ${ms(responseTimeMs)}`,
    ...section('Pool', [`${pool.active} active, ${pool.idle} idle, ${pool.waiting} waiting for one`]),
    ...section('Statements of this process', [
      `the last ${performance.queries}: average ${ms(performance.averageMs)}, p95 ${ms(performance.p95Ms)}, p99 ${ms(performance.p99Ms)}`,
    ]),
    ...section(
      'Slow statements',
      slowQueries.map(({ statement, durationMs, at }) => `${at.toISOString()}  ${ms(durationMs)}  ${statement}`),
    ),
    ...section(
      'Errors',
      Object.entries(errors).map(([code, count]) => `${code}: ${count}`),
    ),
    ...section('Read replicas', readReplicas.map(replicaLine)),
    ...(database
      ? [
          ...section('Server', serverLines(database)),
          ...section(
            'Statements that run for long',
            database.runningQueries.map(
              ({ statement, runningMs, application }) => `${ms(runningMs)}  ${application}  ${statement}`,
            ),
          ),
          ...section(
            'Replicas',
            database.replicas.map(({ name, state, lagMs }) => `${name}: ${state}, behind by ${ms(lagMs)}`),
          ),
          ...section(
            'Slots',
            database.slots.map(
              ({ name, active, retainedBytes, walStatus }) =>
                `${name}: ${active ? 'in use' : 'not in use'}, keeps ${mb(retainedBytes)} of WAL${walStatus === null ? '' : `, ${walStatus}`}`,
            ),
          ),
        ]
      : []),
  ];
  return `${lines.join('\n')}\n`;
};

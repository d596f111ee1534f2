import type { Platform } from '../platform.ts';
import type { QueueSummary } from '../queues/ports.ts';
import { whyNotCurrent } from '../domain/search/index-currency.ts';
import { silentAfterSeconds } from '../queues/relay/worker-count.ts';

interface RunningProcess {
  readonly id: string;
  readonly roles: readonly string[];
  readonly startedAt: Date;
  readonly silentMs: number;
}

export interface Health {
  /** `degraded`: work is accepted, but some of it is not done. */
  readonly status: 'healthy' | 'degraded';
  readonly reasons: readonly string[];
  readonly postgres: { readonly version: string; readonly responseMs: number };
  readonly processes: readonly RunningProcess[];
  readonly queues: readonly QueueSummary[];
  /** Of Elasticsearch, with why each is not searched; null: it is. */
  readonly indexes: readonly { readonly name: string; readonly notCurrent: string | null }[];
}

interface ProcessRow extends Record<string, unknown> {
  readonly id: string;
  readonly roles: string[];
  readonly started_at: Date;
  readonly silent_ms: number;
}

/** A job that may run and has not been started for so long means that something is wrong. */
const oldestAllowedMs = 300_000;

const reasonsOf = (processes: readonly RunningProcess[], queues: readonly QueueSummary[]): readonly string[] => {
  const waiting = queues.some(({ counts }) => counts.accepted + counts.waiting + counts.delayed + counts.active > 0);
  const missing = (['worker', 'scheduler'] as const).filter(
    (role) => !processes.some((process) => process.roles.includes(role)),
  );
  return [
    ...(waiting ? missing.map((role) => `jobs wait and no ${role} runs`) : []),
    ...queues
      .filter(({ paused, oldestWaitingMs }) => !paused && (oldestWaitingMs ?? 0) > oldestAllowedMs)
      .map(({ name }) => `a job in the queue ${name} has been waiting for more than five minutes`),
  ];
};

/** Looks at the database, the processes and the queues. @throws AppError when the database does not answer. */
export const examineHealth = async ({ postgres, queues, indexes }: Platform): Promise<Health> => {
  const startedAt = performance.now();
  const { rows: server } = await postgres.query<{ version: string }>(
    `SELECT current_setting('server_version') AS version`,
  );
  const responseMs = performance.now() - startedAt;
  const { rows } = await postgres.query<ProcessRow>(
    `SELECT id, roles, started_at, extract(epoch FROM now() - beat_at)::float8 * 1000 AS silent_ms FROM treadle.processes
     WHERE beat_at > now() - make_interval(secs => $1) ORDER BY started_at`,
    [silentAfterSeconds],
  );
  const processes = rows.map(({ id, roles, started_at, silent_ms }) => ({
    id,
    roles,
    startedAt: started_at,
    silentMs: Math.max(0, silent_ms),
  }));
  const summaries = await queues.list();
  const found: { readonly name: string; readonly notCurrent: string | null }[] = [];
  for (const index of indexes.all()) {
    found.push({ name: index.name, notCurrent: (await whyNotCurrent(index)) ?? null });
  }
  const reasons = [
    ...reasonsOf(processes, summaries),
    ...found.flatMap(({ name, notCurrent }) =>
      notCurrent === null ? [] : [`the index ${name} is not searched: ${notCurrent}`],
    ),
  ];
  return {
    status: reasons.length === 0 ? 'healthy' : 'degraded',
    reasons,
    postgres: { version: server[0]?.version ?? 'unknown', responseMs },
    processes,
    queues: summaries,
    indexes: found,
  };
};

import { failedAttempts, goodChildren } from './app/jobs.ts';
import type { ChaosApp } from './app/open-app.ts';

export interface Breach {
  readonly rule: string;
  /** Of the jobs, or what else is at fault; the first twenty. */
  readonly ids: readonly string[];
  readonly count: number;
}

export interface AuditOptions {
  /** Whether handlers' own statements may have failed by the faults, each at the cost of an attempt. */
  readonly attempts: 'exact' | 'may-grow' | 'may-overlap';
}

/** Every job that the run made, with what was expected of it: those of the load, children of flows and ticks of schedules. */
const jobs = `
  WITH job AS (
    SELECT all_jobs.id, all_jobs.state::text, all_jobs.attempts_made, all_jobs.failures, all_jobs.result, all_jobs.parent_id,
      all_jobs.payload ->> 'key' AS key, expected.cancelled,
      coalesce(expected.kind, CASE all_jobs.name WHEN 'chaos.poison' THEN 'poison' WHEN 'chaos.tick' THEN 'tick' ELSE 'effect' END) AS kind,
      expected.job_id IS NOT NULL OR all_jobs.parent_id IS NOT NULL OR all_jobs.schedule_name IS NOT NULL AS known,
      all_jobs.schedule_name
    FROM treadle.all_jobs LEFT JOIN chaos.expected ON expected.job_id = all_jobs.id
    WHERE all_jobs.name LIKE 'chaos.%'
  ), effect AS (
    SELECT key, count(*)::integer AS times FROM chaos.effects GROUP BY key
  )`;

const withEffect = `('effect', 'once', 'flow', 'raced', 'block', 'tick')`;
const keyOfEffect = `CASE kind WHEN 'tick' THEN id::text ELSE job.key END`;

/** Each finds what is wrong: the ids in \`id\`. */
const rules: Readonly<Record<string, string>> = {
  'accepted and lost': `${jobs} SELECT job_id AS id FROM chaos.expected WHERE job_id NOT IN (SELECT id FROM job)`,
  'nobody enqueued it': `${jobs} SELECT id FROM job WHERE NOT known`,
  'there twice': `${jobs} SELECT id FROM job GROUP BY id HAVING count(*) > 1`,
  'still open': `${jobs} SELECT id FROM job WHERE state NOT IN ('completed', 'dead', 'cancelled')`,
  'ended in a state that its script does not allow': `${jobs}
    SELECT id FROM job WHERE state <> ALL (CASE
      WHEN kind IN ('poison', 'hopeless') THEN ARRAY['dead']
      WHEN kind = 'far' THEN ARRAY['cancelled']
      WHEN kind = 'raced' AND NOT cancelled THEN ARRAY['completed', 'cancelled']
      WHEN kind = 'raced' THEN ARRAY['cancelled']
      ELSE ARRAY['completed'] END)`,
  'an effect that happened twice': `${jobs} SELECT key AS id FROM effect WHERE times > 1`,
  'completed without its effect': `${jobs}
    SELECT id FROM job LEFT JOIN effect ON effect.key = ${keyOfEffect}
    WHERE kind IN ${withEffect} AND state = 'completed' AND times IS NULL`,
  'an effect of a job that did not complete': `${jobs}
    SELECT effect.key AS id FROM effect LEFT JOIN job ON ${keyOfEffect} = effect.key AND state = 'completed' WHERE job.id IS NULL`,
  'another result than that of its handler': `${jobs}
    SELECT id FROM job WHERE state = 'completed' AND result IS DISTINCT FROM CASE kind
      WHEN 'flow' THEN jsonb_build_object('good', ${goodChildren}, 'dead', 1, 'total', ${goodChildren + 1})
      ELSE to_jsonb(key) END`,
  'completed and never ran': `${jobs}
    SELECT id FROM job WHERE kind = 'plain' AND state = 'completed' AND NOT EXISTS (SELECT FROM chaos.runs WHERE job_id = id)`,
  'cancelled long before, and ran': `${jobs}
    SELECT id FROM job WHERE kind = 'far' AND EXISTS (SELECT FROM chaos.runs WHERE job_id = id)`,
  'other children than were spawned': `${jobs}
    SELECT job.id FROM job LEFT JOIN job AS child ON child.parent_id = job.id WHERE job.kind = 'flow'
    GROUP BY job.id HAVING count(child.id) <> ${goodChildren + 1} OR count(DISTINCT child.key) <> ${goodChildren + 1}`,
  'a time of a schedule that came not once': `
    WITH fire AS (SELECT * FROM treadle.schedule_fires WHERE schedule_name LIKE 'every-second-%')
    SELECT schedule_name || ' ' || fire_at AS id FROM fire
    GROUP BY schedule_name, fire_at HAVING count(*) <> 1 OR count(job_id) <> 1
    UNION ALL
    SELECT schedule_name || ' after ' || fire_at FROM (
      SELECT schedule_name, fire_at, lead(fire_at) OVER (PARTITION BY schedule_name ORDER BY fire_at) - fire_at AS gap FROM fire) AS following
    WHERE gap <> interval '1 second'
    UNION ALL
    SELECT id::text FROM treadle.all_jobs
    WHERE schedule_name LIKE 'every-second-%' AND id NOT IN (SELECT job_id FROM fire WHERE job_id IS NOT NULL)`,
};

/**
 * How many attempts a job of each kind makes: exactly, where no statement of its handler failed; at least, where some may have.
 * Where an attempt may run twice at once, one of the two may fail and the other complete the job.
 */
const attemptsRule = (attempts: AuditOptions['attempts']): string => `${jobs}, script (kind, attempts, failures) AS (
    VALUES ('plain', 1, 0), ('effect', 1, 0), ('tick', 1, 0), ('flow', 1, 0), ('block', 1, 0), ('raced', 1, 0),
      ('once', ${failedAttempts + 1}, ${failedAttempts}), ('poison', 1, 1), ('hopeless', 3, 3))
  SELECT id FROM job JOIN script USING (kind) WHERE state <> 'cancelled' AND NOT CASE
    WHEN ${String(attempts === 'exact')} OR kind IN ('poison', 'hopeless') THEN attempts_made = attempts AND jsonb_array_length(job.failures) = script.failures
    ELSE attempts_made >= attempts
      AND attempts_made - jsonb_array_length(job.failures) BETWEEN ${attempts === 'may-overlap' ? 0 : 1} AND 1 END`;

const shown = 20;

/** Looks at everything the run left, and answers what is wrong with it. */
export const audit = async (app: ChaosApp, { attempts }: AuditOptions): Promise<readonly Breach[]> => {
  const all = { ...rules, 'another number of attempts than its script makes': attemptsRule(attempts) };
  const breaches: Breach[] = [];
  for (const [rule, text] of Object.entries(all)) {
    const found = await app.query<{ id: string }>(text);
    if (found.length > 0) breaches.push({ rule, ids: found.slice(0, shown).map(({ id }) => id), count: found.length });
  }
  return breaches;
};

export interface Figures {
  readonly jobs: number;
  readonly dead: number;
  readonly cancelled: number;
  /** Runs of plain handlers beyond one for each of their jobs: what "at least once" cost. */
  readonly repeatedRuns: number;
  /** Attempts of handlers whose own statements failed. */
  readonly extraAttempts: number;
}

export const readFigures = async (app: ChaosApp): Promise<Figures> => {
  const [found] = await app.query<Figures & Record<string, unknown>>(`
    SELECT count(*)::integer AS jobs,
      (count(*) FILTER (WHERE state = 'dead'))::integer AS dead,
      (count(*) FILTER (WHERE state = 'cancelled'))::integer AS cancelled,
      (SELECT (count(*) - count(DISTINCT job_id))::integer FROM chaos.runs) AS "repeatedRuns",
      coalesce(sum(jsonb_array_length(failures)) FILTER (WHERE state = 'completed' AND name <> 'chaos.once'), 0)::integer AS "extraAttempts"
    FROM treadle.all_jobs WHERE name LIKE 'chaos.%'`);
  return found ?? { jobs: 0, dead: 0, cancelled: 0, repeatedRuns: 0, extraAttempts: 0 };
};

import { loadSql } from '../../lib/postgres/load-sql.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { CheckedSchedule } from './check-schedule.ts';
import { announceSchedule } from './schedules-channel.ts';

const statement = new URL('./upsert-schedule.sql', import.meta.url);

/** Makes the schedule, or makes it what is given, and tells the schedulers if that changed anything. */
export const upsertSchedule = async (
  tx: Queryable,
  checked: CheckedSchedule,
  { builtIn, now }: { readonly builtIn: boolean; readonly now: Date },
): Promise<void> => {
  const { name, jobName, payloadJson, optionsJson, cron, timeZone, everyMs, anchorAt, at, misfire, paused } = checked;
  const { rowCount } = await tx.query(loadSql(statement), [
    name,
    jobName,
    payloadJson,
    optionsJson,
    cron,
    timeZone,
    everyMs,
    anchorAt,
    at,
    misfire,
    paused,
    builtIn,
    now,
  ]);
  if (rowCount !== 0) await announceSchedule(tx, name);
};

import { cronFields, type CronFields } from './cron-fields.ts';
import { wallTimes } from './wall-times.ts';

const ranges = [
  ['second', '0 to 59'],
  ['minute', '0 to 59'],
  ['hour', '0 to 23'],
  ['day of month', '1 to 31, L, W'],
  ['month', '1 to 12 or JAN to DEC'],
  ['day of week', '0 to 7 or SUN to SAT'],
] as const;
const maxLength = 200;

const isUnderstood = (fields: CronFields): boolean => {
  try {
    wallTimes(fields);
    return true;
  } catch {
    return false;
  }
};

/** The field at `position` beside fields that match always. */
const alone = (fields: CronFields, position: number): CronFields => {
  const at = (index: number): string => (index === position ? (fields[index] ?? '*') : '*');
  return [at(0), at(1), at(2), at(3), at(4), at(5)];
};

/** What is wrong with a cron expression: each bad field by its name, or that it can never fire. Empty for a good one. */
export const faultsOfCron = (cron: string): readonly string[] => {
  if (cron.length > maxLength) return [`must be at most ${maxLength} characters`];
  const fields = cronFields(cron);
  if (!fields) return ['must have 5 fields (minute hour day month weekday), or 6 with seconds first'];
  const bad = ranges.flatMap(([name, range], position) =>
    isUnderstood(alone(fields, position))
      ? []
      : [`${name} ${JSON.stringify(fields[position])} is not valid (${range})`],
  );
  if (bad.length > 0) return bad;
  if (!isUnderstood(fields)) return ['is not valid'];
  if (wallTimes(fields).next(Date.UTC(2000, 0)) !== undefined) return [];
  const [, , , day, month] = fields;
  return [`can never fire: no month of ${JSON.stringify(month)} has day ${JSON.stringify(day)}`];
};

import { CronExpressionParser } from 'cron-parser';
import { validateDetailed } from 'node-cron';

const fieldNames = ['second', 'minute', 'hour', 'day of month', 'month', 'day of week'] as const;
const fieldKeys = ['second', 'minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek'] as const;
const maxLength = 200;

/** The six fields of a cron expression; one with five fires at second 0. Undefined for any other number of fields. */
export const cronFields = (cron: string): readonly [string, string, string, string, string, string] | undefined => {
  const fields = cron.trim().split(/\s+/);
  const [second, minute, hour, day, month, weekday] = fields.length === 5 ? ['0', ...fields] : fields;
  if (fields.length < 5 || fields.length > 6) return undefined;
  if (!second || !minute || !hour || !day || !month || !weekday) return undefined;
  return [second, minute, hour, day, month, weekday];
};

const isValidAlone = (fields: readonly string[]): boolean => validateDetailed(fields.join(' ')).valid;

/**
 * What is wrong with a cron expression: each bad field by its name, or that it can never fire. Empty for one that both
 * the timer (node-cron) and the calendar (cron-parser) understand.
 */
export const faultsOfCron = (cron: string): readonly string[] => {
  if (cron.length > maxLength) return [`must be at most ${maxLength} characters`];
  const fields = cronFields(cron);
  if (!fields) return ['must have 5 fields (minute hour day month weekday), or 6 with seconds first'];
  const alone = fields.flatMap((field, position) => {
    const others = fields.map((_, index) => (index === position ? field : '*'));
    return isValidAlone(others) ? [] : [`${fieldNames[position]} ${JSON.stringify(field)} is not valid`];
  });
  if (alone.length > 0) return alone;
  const together = validateDetailed(fields.join(' '));
  if (!together.valid) {
    const [, , , day, month] = fields;
    return together.errors.some((error) => error.field === fieldKeys[3])
      ? [`can never fire: no month of ${JSON.stringify(month)} has day ${JSON.stringify(day)}`]
      : ['is not valid'];
  }
  try {
    CronExpressionParser.parse(fields.join(' '), { tz: 'UTC' }).next();
    return [];
  } catch (error) {
    return [`cannot be used: ${error instanceof Error ? error.message : 'it is not understood'}`];
  }
};

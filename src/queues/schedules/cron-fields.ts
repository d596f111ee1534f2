export type CronFields = readonly [string, string, string, string, string, string];

/** The six fields of a cron expression; one with five fires at second 0. Undefined for any other number of fields. */
export const cronFields = (cron: string): CronFields | undefined => {
  const fields = cron.trim().split(/\s+/);
  const [second, minute, hour, day, month, weekday] = fields.length === 5 ? ['0', ...fields] : fields;
  if (fields.length < 5 || fields.length > 6) return undefined;
  if (!second || !minute || !hour || !day || !month || !weekday) return undefined;
  return [second, minute, hour, day, month, weekday];
};

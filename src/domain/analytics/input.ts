import { z } from 'zod';
import { type AppError, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { addDays, dayAt, daysIn } from './days.ts';
import type { DayRange } from './types.ts';

/** Ids in upper case are the same ids. */
const id = z.uuid().toLowerCase();

export const searchClickInput = z.strictObject({
  workspaceId: id,
  searchId: id,
  documentId: id,
  position: z.number().int().min(1).max(1_000_000),
});
export type SearchClickInput = z.input<typeof searchClickInput>;

const dateForm = 'must be a day such as 2026-11-01, or a time such as 2026-11-01T09:00:00Z';
const [firstYear, lastYear] = [1970, 9998];
const yearOf = (text: string): number => Number(text.slice(0, 4));

const moment = z
  .string({ error: 'must be text' })
  .refine((text) => z.union([z.iso.date(), z.iso.datetime({ offset: true })]).safeParse(text).success, {
    message: dateForm,
    abort: true,
  })
  .refine(
    (text) => yearOf(text) >= firstYear && yearOf(text) <= lastYear,
    `must be in one of the years ${firstYear} to ${lastYear}`,
  );

const trendsRangeInput = z.strictObject({ from: moment.optional(), to: moment.optional() });
export type TrendsRangeInput = z.input<typeof trendsRangeInput>;

const mostDays = 366;
const usualDays = 30;
const isDay = (text: string): boolean => text.length === 10;

const refuse = (message: string): AppError => validationError('the range', [{ path: 'from', message }]);

/**
 * The days of the workspace that the time from `from` up to, but without, `to` touches; by default the thirty up to today.
 * A day without a time begins at midnight in `timeZone`.
 * @throws AppError VALIDATION_ERROR naming `from` or `to`.
 */
export const parseRange = (input: TrendsRangeInput, timeZone: string, now: Date): DayRange => {
  const { from, to } = parseOrThrow(trendsRangeInput, input, 'the range');
  const lastDay =
    to === undefined
      ? dayAt(now, timeZone)
      : isDay(to)
        ? addDays(to, -1)
        : dayAt(new Date(Date.parse(to) - 1), timeZone);
  const firstDay =
    from === undefined ? addDays(lastDay, 1 - usualDays) : isDay(from) ? from : dayAt(new Date(from), timeZone);
  const inOrder =
    from === undefined || to === undefined || isDay(from) !== isDay(to) || Date.parse(from) < Date.parse(to);
  if (!inOrder || firstDay > lastDay) throw refuse('must be before to');
  if (daysIn(firstDay, lastDay) > mostDays) throw refuse(`may be at most ${mostDays} days before to`);
  return { firstDay, lastDay };
};

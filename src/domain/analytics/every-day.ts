import { addDays, daysIn } from './days.ts';
import type { DayRange, SearchDay } from './types.ts';

/** Every day of the range, in order: those that were counted, and those without a search. */
export const everyDay = (counted: readonly SearchDay[], { firstDay, lastDay }: DayRange): readonly SearchDay[] => {
  const byDay = new Map(counted.map((row) => [row.day, row]));
  return Array.from({ length: daysIn(firstDay, lastDay) }, (_, index) => {
    const day = addDays(firstDay, index);
    const { searches = 0, withoutResult = 0, clicks = 0 } = byDay.get(day) ?? {};
    return { day, searches, withoutResult, clicks };
  });
};

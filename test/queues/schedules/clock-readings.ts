/** What a clock shows at a moment; the reading is written as if it were UTC. */
export interface Reading {
  readonly atMs: number;
  readonly wallMs: number;
}

const minuteMs = 60_000;
const dayMs = 86_400_000;

const readerOf = (timeZone: string): ((atMs: number) => number) => {
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  return (atMs) => Date.parse(`${format.format(atMs).replace(' ', 'T')}Z`);
};

/** The days of a year on which the clocks of a zone are put forward or back; the middle of the year where they never are. */
export const clockChanges = (timeZone: string, year: number): readonly number[] => {
  const read = readerOf(timeZone);
  const days = Array.from({ length: 365 }, (_, day) => Date.UTC(year, 0, 1 + day));
  const changes = days.filter((at) => read(at + dayMs) - read(at) !== dayMs);
  return changes.length === 0 ? [Date.UTC(year, 6, 1)] : changes;
};

/** The readings of every minute of the day before and of the day itself, and of half a day more. */
export const readingsAround = (timeZone: string, changeMs: number): readonly Reading[] => {
  const read = readerOf(timeZone);
  return Array.from({ length: (2.5 * dayMs) / minuteMs }, (_, minute) => {
    const atMs = changeMs - dayMs + minute * minuteMs;
    return { atMs, wallMs: read(atMs) };
  });
};

/** A moment at which a time zone's clocks are put forward or back. */
export interface ClockChange {
  readonly atMs: number;
  /** Ahead of UTC, in milliseconds, before and after. */
  readonly beforeMs: number;
  readonly afterMs: number;
}

/** The clocks of one time zone. All moments are milliseconds since 1970. */
export interface ZoneClock {
  /** How far they are ahead of UTC. */
  offsetAt(atMs: number): number;
  /** The change later than `fromMs` and not later than `untilMs`; two in one week are not told apart. */
  changeBetween(fromMs: number, untilMs: number): ClockChange | undefined;
}

const readOffset = (text: string): number => {
  const [, sign, hours, minutes, seconds = '0'] = /GMT([+-])(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(text) ?? [];
  if (sign === undefined) return 0;
  const size = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  return (sign === '-' ? -size : size) * 1_000;
};

/**
 * The clocks of an IANA time zone, as Intl knows them.
 * @throws RangeError for a name that Intl does not know.
 */
export const zoneClock = (timeZone: string): ZoneClock => {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' });
  const offsetAt = (atMs: number): number => readOffset(format.format(atMs));
  return {
    offsetAt,
    changeBetween(fromMs, untilMs) {
      const beforeMs = offsetAt(fromMs);
      const afterMs = offsetAt(untilMs);
      if (beforeMs === afterMs) return undefined;
      let [before, after] = [fromMs, untilMs];
      while (after - before > 1) {
        const middle = Math.floor((before + after) / 2);
        if (offsetAt(middle) === beforeMs) before = middle;
        else after = middle;
      }
      return { atMs: after, beforeMs, afterMs };
    },
  };
};

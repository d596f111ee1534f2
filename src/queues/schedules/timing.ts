export interface CronTiming {
  /** Five fields, or six with seconds first. */
  readonly cron: string;
  /** An IANA name. */
  readonly timeZone: string;
}

export interface IntervalTiming {
  readonly everyMs: number;
  /** The first time; all others lie a multiple of `everyMs` behind it. */
  readonly anchorAt: Date;
}

export interface OneOffTiming {
  readonly at: Date;
}

/** When a schedule fires. */
export type Timing = CronTiming | IntervalTiming | OneOffTiming;

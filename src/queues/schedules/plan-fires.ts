import { fireTimesBetween, type Timing } from './fire-times.ts';

/** What becomes of fire times that nobody was there for. */
export type MisfirePolicy = 'skip' | 'once' | 'all';

export interface FirePlan {
  /** The fire times that get a job, oldest first. */
  readonly fires: readonly Date[];
  /** Every fire time up to here is dealt with. */
  readonly settledUntil: Date;
  /** True when there were more missed fire times than are ever made up for. */
  readonly truncated: boolean;
}

/** How many missed fire times one schedule makes up for; later ones are given up. */
const maxMissed = 1_000;

const firesOf: Readonly<Record<MisfirePolicy, (missed: readonly Date[], onTime: readonly Date[]) => readonly Date[]>> =
  {
    skip: (_, onTime) => onTime,
    once: (missed, onTime) => (onTime.length > 0 ? onTime : missed.slice(-1)),
    all: (missed, onTime) => [...missed, ...onTime],
  };

/**
 * Which of the fire times after `settledUntil` and up to `now` get a job; undefined when there are none. Those at most
 * `onTimeMs` old are on time and always do. Of older ones, `skip` drops all, `once` runs the latest if nothing is on
 * time, and `all` runs each, up to 1,000.
 */
export const planFires = (
  timing: Timing & { readonly misfire: MisfirePolicy },
  settledUntil: Date,
  now: Date,
  onTimeMs: number,
): FirePlan | undefined => {
  const due = fireTimesBetween(timing, settledUntil, now, maxMissed + 1);
  const onTimeFrom = new Date(Math.max(now.getTime() - onTimeMs, settledUntil.getTime()));
  const allMissed = due.filter((time) => time <= onTimeFrom);
  const missed = allMissed.slice(0, maxMissed);
  const truncated = allMissed.length > maxMissed;
  const onTime =
    due.length > maxMissed
      ? fireTimesBetween(timing, onTimeFrom, now, maxMissed)
      : due.filter((time) => time > onTimeFrom);
  const last = onTime.at(-1) ?? (truncated ? now : missed.at(-1));
  if (!last) return undefined;
  return { fires: firesOf[timing.misfire](missed, onTime), settledUntil: last, truncated };
};

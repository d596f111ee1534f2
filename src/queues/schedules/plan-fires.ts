import type { MisfirePolicy } from '../ports.ts';
import { fireTimesBetween, latestFireTimes } from './fire-times.ts';
import type { Timing } from './timing.ts';

export interface FirePlan {
  /** The fire times that get a job, oldest first. */
  readonly fires: readonly Date[];
  /** The fire times that get none: the latest hundred of those that the policy drops, oldest first. */
  readonly dropped: readonly Date[];
  /** Every fire time up to here is dealt with. */
  readonly settledUntil: Date;
  /** True when `all` had more missed fire times than are ever made up for. */
  readonly truncated: boolean;
}

/** How many missed fire times one schedule makes up for; later ones are given up. */
const maxMissed = 10_000;
/** How many dropped fire times are told of. */
const maxDropped = 100;

type Missed = Pick<FirePlan, 'fires' | 'dropped' | 'truncated'>;

const planMissed: Readonly<
  Record<MisfirePolicy, (timing: Timing, after: Date, until: Date, hasOnTime: boolean) => Missed>
> = {
  skip: (timing, after, until) => ({
    fires: [],
    dropped: latestFireTimes(timing, after, until, maxDropped),
    truncated: false,
  }),
  once: (timing, after, until, hasOnTime) => {
    const latest = latestFireTimes(timing, after, until, maxDropped + 1);
    return hasOnTime
      ? { fires: [], dropped: latest.slice(-maxDropped), truncated: false }
      : { fires: latest.slice(-1), dropped: latest.slice(0, -1), truncated: false };
  },
  all: (timing, after, until) => {
    const fires = fireTimesBetween(timing, after, until, maxMissed);
    const dropped = fires.length < maxMissed ? [] : latestFireTimes(timing, fires.at(-1) ?? after, until, maxDropped);
    return { fires, dropped, truncated: dropped.length > 0 };
  },
};

/**
 * Which of the fire times after `settledUntil` and up to `now` get a job; undefined when there are none. Those at most
 * `onTimeMs` old are on time and always do. Of older ones, `skip` drops all, `once` runs the latest if nothing is on
 * time, and `all` runs each, up to 10,000. When `settledUntil` lies more than `onTimeMs` ahead the clock was put back
 * since: the plan is to count from `now` again.
 */
export const planFires = (
  { timing, misfire }: { readonly timing: Timing; readonly misfire: MisfirePolicy },
  settledUntil: Date,
  now: Date,
  onTimeMs: number,
): FirePlan | undefined => {
  if (settledUntil.getTime() > now.getTime() + onTimeMs) {
    return { fires: [], dropped: [], settledUntil: now, truncated: false };
  }
  const onTimeFrom = new Date(Math.max(now.getTime() - onTimeMs, settledUntil.getTime()));
  const onTime = fireTimesBetween(timing, onTimeFrom, now, Number.POSITIVE_INFINITY);
  const missed = planMissed[misfire](timing, settledUntil, onTimeFrom, onTime.length > 0);
  const fires = [...missed.fires, ...onTime];
  const last =
    onTime.at(-1) ?? [...missed.fires.slice(-1), ...missed.dropped.slice(-1)].toSorted((a, b) => +a - +b).at(-1);
  return last && { fires, dropped: missed.dropped, settledUntil: last, truncated: missed.truncated };
};

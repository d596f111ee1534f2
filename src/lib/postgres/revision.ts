import { z } from 'zod';
import { AppError, notFound } from '../errors/app-error.ts';
import { parseOrThrow } from '../errors/zod-faults.ts';

/** Refuses the change unless the thing still has this revision. */
export interface Expectation {
  readonly expectedRevision?: number | undefined;
}

const expectation = z.object({ expectedRevision: z.int().min(1).max(2_147_483_647).optional() });

/** @throws AppError VALIDATION_ERROR unless the revision, if there is one, is a whole number from 1. */
export const expectedRevisionOf = ({ expectedRevision }: Expectation): number | undefined =>
  parseOrThrow(expectation, { expectedRevision }, 'the change').expectedRevision;

/** A thing that could not be changed as it was expected to be; `actual` is its revision now, if it is there at all. */
export interface Refused {
  readonly entity: string;
  readonly entityId: string;
  readonly expected: number | undefined;
  readonly actual: number | undefined;
}

/** What to tell whose change found no row: that there is none, or that somebody was faster. */
export const refusal = ({ entity, entityId, expected, actual }: Refused): AppError =>
  actual === undefined || expected === undefined
    ? notFound(entity, entityId)
    : new AppError(
        'DATA_CONSISTENCY_ERROR',
        `the ${entity} has revision ${actual} by now, not ${expected}: read it again before changing it`,
        { entity, entityId, expected, actual },
      );

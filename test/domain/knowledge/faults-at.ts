import { expect } from 'vitest';

export const unknownId = '0196f0aa-0000-7000-8000-000000000000';

/** A VALIDATION_ERROR with one fault at each of these paths, in this order. */
export const faultsAt = (...paths: readonly string[]) => ({
  code: 'VALIDATION_ERROR',
  details: { faults: paths.map((path): unknown => expect.objectContaining({ path })) },
});

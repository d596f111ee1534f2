import { AppError } from '../lib/errors/app-error.ts';

/** Somebody else works on the index. */
export const indexIsTaken = (index: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `a rebuild or verification of the index ${index} runs already`, {
    entity: 'index',
    entityId: index,
  });

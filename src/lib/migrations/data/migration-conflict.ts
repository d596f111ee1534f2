import { AppError } from '../../errors/app-error.ts';

/** What keeps a data migration from going on. */
export const migrationConflict = (name: string, message: string): AppError =>
  new AppError('DATA_CONSISTENCY_ERROR', `data migration ${name} ${message}`, {
    entity: 'data migration',
    entityId: name,
  });

import { notFound } from '../../errors/app-error.ts';
import type { DataMigration } from './define-data-migration.ts';

/**
 * The one of that name, or all in the order of their names.
 * @throws AppError NOT_FOUND for a name that the code does not know.
 */
export const chooseDataMigrations = (migrations: readonly DataMigration[], name?: string): readonly DataMigration[] => {
  const chosen = name === undefined ? migrations : migrations.filter((each) => each.name === name);
  if (name !== undefined && chosen.length === 0) throw notFound('data migration', name);
  return chosen.toSorted((a, b) => (a.name < b.name ? -1 : 1));
};

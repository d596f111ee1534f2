import { AppError } from '../../lib/errors/app-error.ts';
import { isAppIndex, type AppIndex } from './define-index.ts';

/** How a module is loaded: by its path or package name, as seen from a folder. */
export type ImportModule = (
  name: string,
  folder: string,
) => Promise<{ readonly module: object } | { readonly reason: string; readonly cause: unknown }>;

const refuse = (name: string, message: string, cause?: unknown): AppError => {
  const faults = [{ variable: 'TREADLE_INDEXES', message: `${name} ${message}` }];
  return new AppError('CONFIGURATION_ERROR', `TREADLE_INDEXES: ${name} ${message}`, { faults }, { cause });
};

const exportedBy = async (name: string, importModule: ImportModule): Promise<unknown> => {
  const imported = await importModule(name, process.cwd());
  if ('reason' in imported) throw refuse(name, imported.reason, imported.cause);
  return 'default' in imported.module ? imported.module.default : undefined;
};

/**
 * The indexes of the modules that TREADLE_INDEXES names.
 * @throws AppError CONFIGURATION_ERROR naming the variable, the module and what is wrong with it.
 */
export const loadIndexes = async (
  names: readonly string[],
  importModule: ImportModule,
): Promise<readonly AppIndex[]> => {
  const found: AppIndex[] = [];
  for (const name of new Set(names)) {
    const exported = await exportedBy(name, importModule);
    const given: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
    for (const one of given) {
      if (!isAppIndex(one)) throw refuse(name, 'has no default export that defineIndex() answers, or an array of such');
      if (found.some((other) => other.name === one.name)) throw refuse(name, `defines the index ${one.name} once more`);
      found.push(one);
    }
    if (given.length === 0) throw refuse(name, 'brings no index');
  }
  return found;
};

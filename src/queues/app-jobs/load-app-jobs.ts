import { AppError } from '../../lib/errors/app-error.ts';
import { toAppError } from '../../lib/errors/classify.ts';
import { defineJobs, type AppJobs } from './define-jobs.ts';
import { importModule } from './import-module.ts';
import { clashesOf, type JobModule, type ModuleFault } from './job-clashes.ts';

const refuse = (faults: readonly ModuleFault[], cause?: unknown): never => {
  const lines = faults.map(({ module, message }) => `${module}: ${message}`);
  throw new AppError(
    'CONFIGURATION_ERROR',
    lines.length === 1
      ? `TREADLE_JOBS ${lines[0]}`
      : `TREADLE_JOBS has ${lines.length} faults:\n  ${lines.join('\n  ')}`,
    { faults: lines.map((message) => ({ variable: 'TREADLE_JOBS', message })) },
    { cause },
  );
};

/** The default export; of a module that was built to CommonJS from one with a default export, that one's. */
const defaultExportOf = (module: object): unknown => {
  const exported: unknown = 'default' in module ? module.default : undefined;
  const isTranspiled = typeof exported === 'object' && exported !== null && '__esModule' in exported;
  return isTranspiled && 'default' in exported ? exported.default : exported;
};

const loadModule = async (name: string, folder: string): Promise<JobModule> => {
  const imported = await importModule(name, folder);
  if ('reason' in imported) return refuse([{ module: name, message: imported.reason }], imported.cause);
  const exported = defaultExportOf(imported.module);
  if (typeof exported !== 'object' || exported === null) {
    const named = Object.keys(imported.module).filter((key) => key !== 'default');
    const instead = named.length === 0 ? '' : ` (it exports ${named.join(', ')})`;
    const found = exported === undefined ? `has no default export${instead}` : 'has another default export';
    return refuse([{ module: name, message: `${found}: write export default defineJobs({ handlers: [...] })` }]);
  }
  try {
    const jobs = defineJobs(exported);
    if (Object.values(jobs).some((list) => list.length > 0)) return { name, jobs };
  } catch (error) {
    const { message } = toAppError(error);
    return refuse(
      [{ module: name, message: `the default export is not what defineJobs() answers: ${message}` }],
      error,
    );
  }
  return refuse([
    { module: name, message: 'brings no contracts, handlers, queues, schedules, sagas, consumers or data migrations' },
  ]);
};

/**
 * The jobs, queues, schedules, sagas, consumers and data migrations of the modules that TREADLE_JOBS names: paths and package
 * names as seen from the working directory. `builtIn` is what Treadle brings itself, which they must not redefine.
 * @throws AppError CONFIGURATION_ERROR naming the variable, the module and what is wrong with it.
 */
export const loadAppJobs = async (names: readonly string[], builtIn: AppJobs): Promise<AppJobs> => {
  const modules: JobModule[] = [];
  for (const name of new Set(names)) modules.push(await loadModule(name, process.cwd()));
  const faults = clashesOf(modules, builtIn);
  if (faults.length > 0) return refuse(faults);
  const all = modules.map(({ jobs }) => jobs);
  return {
    contracts: [...new Set(all.flatMap((jobs) => jobs.contracts))],
    handlers: all.flatMap((jobs) => jobs.handlers),
    queues: [...new Set(all.flatMap((jobs) => jobs.queues))],
    schedules: [...new Set(all.flatMap((jobs) => jobs.schedules))],
    sagas: [...new Set(all.flatMap((jobs) => jobs.sagas))],
    consumers: [...new Set(all.flatMap((jobs) => jobs.consumers))],
    dataMigrations: [...new Set(all.flatMap((jobs) => jobs.dataMigrations))],
  };
};

import { AppError } from '../../lib/errors/app-error.ts';
import type { JobContract } from '../define-job.ts';
import type { BuiltInSchedule } from '../define-schedule.ts';
import { checkSchedule } from '../schedules/check-schedule.ts';
import type { AppJobs } from './define-jobs.ts';

/** One module of TREADLE_JOBS, by the name it is given there. */
export interface JobModule {
  readonly name: string;
  readonly jobs: AppJobs;
}

export interface ModuleFault {
  readonly module: string;
  readonly message: string;
}

interface Entry<T> {
  readonly module: string;
  readonly name: string;
  readonly value: T;
}

const entriesOf = <T>(
  modules: readonly JobModule[],
  list: (jobs: AppJobs) => readonly T[],
  nameOf: (value: T) => string,
): readonly Entry<T>[] =>
  modules.flatMap(({ name: module, jobs }) => list(jobs).map((value) => ({ module, name: nameOf(value), value })));

/** Names that Treadle has itself, and names given twice to different things. */
const nameFaults = (
  kind: string,
  entries: readonly Entry<unknown>[],
  builtIn: readonly { readonly name: string }[],
): readonly ModuleFault[] => {
  const own = new Set(builtIn.map(({ name }) => name));
  const first = new Map<string, Entry<unknown>>();
  return entries.flatMap((entry): readonly ModuleFault[] => {
    const { module, name, value } = entry;
    if (own.has(name)) return [{ module, message: `${kind} ${name} is one of Treadle's own: choose another name` }];
    const known = first.get(name);
    if (!known) first.set(name, entry);
    if (!known || known.value === value) return [];
    const where = known.module === module ? '' : `, the other in ${known.module}`;
    return [{ module, message: `${kind} ${name} is defined twice${where}` }];
  });
};

const handlerFaults = (modules: readonly JobModule[]): readonly ModuleFault[] => {
  const handlers = entriesOf(
    modules,
    (jobs) => jobs.handlers,
    ({ contract }) => contract.name,
  );
  const first = new Map<string, string>();
  return handlers.flatMap(({ module, name }) => {
    const known = first.get(name);
    if (known === undefined) first.set(name, module);
    if (known === undefined) return [];
    return [
      { module, message: `the job ${name} has two handlers${known === module ? '' : `, the other in ${known}`}` },
    ];
  });
};

const scheduleFaults = (
  schedules: readonly Entry<BuiltInSchedule>[],
  contracts: ReadonlyMap<string, JobContract>,
): readonly ModuleFault[] =>
  schedules.flatMap(({ module, name, value }) => {
    try {
      const { name: _, ...input } = value;
      checkSchedule(name, input, { findContract: (jobName) => contracts.get(jobName), isTooLate: () => false });
      return [];
    } catch (error) {
      if (error instanceof AppError) return [{ module, message: error.message }];
      throw error;
    }
  });

/** Everything in the modules that cannot be together, or beside what Treadle brings. */
export const clashesOf = (modules: readonly JobModule[], builtIn: AppJobs): readonly ModuleFault[] => {
  const contracts = entriesOf(
    modules,
    (jobs) => jobs.contracts,
    (contract) => contract.name,
  );
  const queues = entriesOf(
    modules,
    (jobs) => jobs.queues,
    (queue) => queue.name,
  );
  const schedules = entriesOf(
    modules,
    (jobs) => jobs.schedules,
    (schedule) => schedule.name,
  );
  const sagas = entriesOf(
    modules,
    (jobs) => jobs.sagas,
    (saga) => saga.name,
  );
  const consumers = entriesOf(
    modules,
    (jobs) => jobs.consumers,
    (consumer) => consumer.name,
  );
  const dataMigrations = entriesOf(
    modules,
    (jobs) => jobs.dataMigrations,
    (migration) => migration.name,
  );
  const defined = new Set([...builtIn.queues, ...queues].map(({ name }) => name));
  const known = new Map([...builtIn.contracts, ...contracts.map(({ value }) => value)].map((job) => [job.name, job]));
  return [
    ...nameFaults('the job', contracts, builtIn.contracts),
    ...handlerFaults(modules),
    ...nameFaults('the queue', queues, builtIn.queues),
    ...contracts
      .filter(({ value }) => !defined.has(value.queue))
      .map(({ module, name, value }) => ({
        module,
        message: `the job ${name} names the queue ${value.queue}, which is not defined`,
      })),
    ...nameFaults('the schedule', schedules, builtIn.schedules),
    ...scheduleFaults(schedules, known),
    ...nameFaults('the saga', sagas, builtIn.sagas),
    ...nameFaults('the consumer', consumers, builtIn.consumers),
    ...nameFaults('the data migration', dataMigrations, builtIn.dataMigrations),
  ];
};

import { z } from 'zod';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { toAppError } from '../../../src/lib/errors/classify.ts';
import { loadJobs } from '../../../src/process-jobs.ts';

// Loads what each argument would be as TREADLE_JOBS, from the working directory, as a process of Treadle does, and prints
// on a line what came of it.
const names = z.array(z.object({ name: z.string() })).transform((list) => list.map(({ name }) => name));

for (const text of process.argv.slice(2)) {
  try {
    const { handlers, ...loaded } = await loadJobs(loadConfig({ TREADLE_JOBS: text }));
    const handled = names.parse(handlers.map(({ contract }) => contract));
    const { contracts, queues, schedules, sagas, consumers } = loaded;
    const named = Object.entries({ contracts, queues, schedules, sagas, consumers }).map(([kind, list]) => [
      kind,
      names.parse(list),
    ]);
    console.log(JSON.stringify({ ...Object.fromEntries(named), handlers: handled }));
  } catch (error) {
    const { code, message, details } = toAppError(error);
    console.log(JSON.stringify({ code, message, details }));
  }
}

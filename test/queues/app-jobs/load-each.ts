import { z } from 'zod';
import { loadConfig } from '../../../src/lib/config/load-config.ts';
import { toAppError } from '../../../src/lib/errors/classify.ts';
import { loadJobs } from '../../../src/process-jobs.ts';

// Loads what each argument would be as TREADLE_JOBS, from the working directory, as a process of Treadle does, and prints
// on a line what came of it.
const names = z.array(z.object({ name: z.string() })).transform((list) => list.map(({ name }) => name));

for (const text of process.argv.slice(2)) {
  try {
    const { contracts, handlers, queues, schedules, sagas } = await loadJobs(loadConfig({ TREADLE_JOBS: text }));
    const handled = handlers.map(({ contract }) => contract);
    const [jobs, work, lines, times, long] = [contracts, handled, queues, schedules, sagas].map((list) =>
      names.parse(list),
    );
    console.log(JSON.stringify({ contracts: jobs, handlers: work, queues: lines, schedules: times, sagas: long }));
  } catch (error) {
    const { code, message, details } = toAppError(error);
    console.log(JSON.stringify({ code, message, details }));
  }
}

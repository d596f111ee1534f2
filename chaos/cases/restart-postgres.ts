import type { ChaosCase } from '../run-case.ts';
import { untilAnswered } from '../app/open-app.ts';

/** Postgres is stopped in order or killed, and started again by its owner. */
export const restartPostgres: ChaosCase = {
  name: 'restart-postgres',
  backends: ['redis', 'postgres'],
  // A job taken just before the crash is given out once more, while its handler still runs.
  attempts: 'may-overlap',
  makeFaults: async ({ app: { servers, platform }, random, moments }) => {
    for await (const _ of moments(3)) {
      // SIGINT is Postgres' "fast" shutdown.
      process.kill(servers.postgres.pid(), random.pick(['SIGINT', 'SIGKILL']));
      await untilAnswered(() => platform.postgres.query('SELECT'));
    }
  },
};

import type { ChaosCase } from '../run-case.ts';

/** Half of the connections to Postgres are ended by the server, whatever they are doing. */
export const killBackends: ChaosCase = {
  name: 'kill-backends',
  backends: ['redis', 'postgres'],
  attempts: 'may-grow',
  makeFaults: async ({ app, random, moments }) => {
    for await (const _ of moments(6)) {
      await app.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid % 2 = $1`,
        [random.int(0, 1)],
      );
    }
  },
};

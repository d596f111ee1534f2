import { expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { useTreadleProcesses } from './treadle-processes.ts';

const database = useDatabase();
const processes = useTreadleProcesses();

interface Fires {
  readonly seconds: number;
  readonly fires: number;
  readonly jobs: number;
  readonly strays: number;
}

const fires = async (): Promise<Fires> => {
  const [found] = await database.query<Fires & Record<string, unknown>>(`
    SELECT (extract(epoch FROM max(fire_at) - min(fire_at)) + 1)::int AS seconds, count(*)::int AS fires,
      count(DISTINCT j.id)::int AS jobs,
      (SELECT count(*)::int FROM treadle.all_jobs WHERE schedule_name = 'seconds') - count(DISTINCT j.id)::int AS strays
    FROM treadle.schedule_fires AS f LEFT JOIN treadle.all_jobs AS j ON j.id = f.job_id AND j.schedule_name = 'seconds'
    WHERE f.schedule_name = 'seconds'`);
  return found ?? { seconds: 0, fires: 0, jobs: 0, strays: 0 };
};
const untilFires = async (count: number): Promise<void> => {
  await expect
    .poll(async () => (await fires()).fires, { timeout: 20_000, interval: 100 })
    .toBeGreaterThanOrEqual(count);
};

test('each second has one job, though schedulers are killed, one beside another and all of them', async () => {
  const env = { DATABASE_URL: database.url, REDIS_URL: '' };
  const [first, second] = await Promise.all([processes.start('scheduler', env), processes.start('scheduler', env)]);
  await database.query(`
    INSERT INTO treadle.schedules (name, job_name, payload, cron, misfire) VALUES
      ('seconds', 'maintenance.seed', '{}', '* * * * * *', 'all')`);
  await untilFires(2);
  await processes.end(first, 'SIGKILL');
  await untilFires((await fires()).fires + 2);
  await processes.end(second, 'SIGKILL');
  const third = await processes.start('scheduler', env);
  await untilFires((await fires()).fires + 2);
  await processes.end(third, 'SIGKILL');
  const { seconds, fires: count, jobs, strays } = await fires();
  expect({ count, jobs, strays }).toEqual({ count: seconds, jobs: seconds, strays: 0 });
});

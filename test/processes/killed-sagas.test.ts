import { expect, test } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { RunningProcess } from './run-process.ts';

const database = useDatabase();

const points = (steps: readonly string[], fails: boolean) =>
  steps.flatMap((step) => ['before', 'inside', 'after'].map((place) => ({ stopAt: `${place} ${step}`, fails })));
const sagas = [...points(['a', 'b', 'c'], false), ...points(['undo c', 'undo b', 'undo a'], true)];
const stoppedByTrigger = sagas.filter(({ stopAt }) => stopAt.startsWith('after')).length;

const startWorker = (stop: '0' | '1', args: readonly string[] = []): RunningProcess =>
  new RunningProcess('saga-worker.ts', {
    args,
    env: {
      DATABASE_URL: database.url,
      REDIS_URL: '',
      LOG_LEVEL: 'fatal',
      STOP: stop,
      TREADLE_QUEUES: 'sagas',
      TREADLE_SHUTDOWN_GRACE_MS: '2000',
    },
  });

/** Stops a saga that has ended the step which its input names, when it writes what comes next; while the lock 4711 is held. */
const stopAfterSteps = `
  CREATE TABLE effects (key text PRIMARY KEY, saga_id uuid, effect text);
  CREATE FUNCTION stop_after() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF NEW.fence = OLD.fence AND (NEW.current_step, NEW.state) IS DISTINCT FROM (OLD.current_step, OLD.state)
      AND OLD.input ->> 'stopAt' = 'after ' || (CASE OLD.state WHEN 'compensating' THEN 'undo ' ELSE '' END) || OLD.current_step
    THEN PERFORM pg_advisory_xact_lock_shared(4711);
    END IF;
    RETURN NEW;
  END $$;
  CREATE TRIGGER stop_after BEFORE UPDATE ON treadle.sagas FOR EACH ROW EXECUTE FUNCTION stop_after()`;
const waiting = `FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

test('sagas whose worker is killed before, inside and after each step end complete or compensated, each effect once', async () => {
  await database.query(stopAfterSteps);
  const holder = await database.postgres.pool.connect();
  await holder.query('SELECT pg_advisory_lock(4711)');

  const first = startWorker('1', [JSON.stringify(sagas)]);
  const lines: string[] = [];
  for (let count = sagas.length - stoppedByTrigger + 1; count > 0; count -= 1) lines.push(await first.line());
  expect(lines.filter((line) => line === 'stopped')).toHaveLength(sagas.length - stoppedByTrigger);
  await expect.poll(() => database.query(`SELECT ${waiting}`), { timeout: 20_000 }).toHaveLength(stoppedByTrigger);
  await first.end('SIGKILL');
  // As when the machine goes with the process: a server would see only later that nobody waits for these statements.
  await database.query(`SELECT pg_terminate_backend(pid) ${waiting}`);
  holder.release(true);

  const second = startWorker('0');
  const open = `SELECT id FROM treadle.sagas WHERE state NOT IN ('completed', 'compensated')`;
  await expect.poll(() => database.query(open), { timeout: 30_000 }).toEqual([]);
  const ends = await database.query(
    `SELECT saga.input ->> 'stopAt' AS "stopAt", saga.state,
       (SELECT array_agg(effect ORDER BY effect) FROM effects WHERE saga_id = saga.id) AS effects
     FROM treadle.sagas AS saga ORDER BY saga.id`,
  );
  const once = ['a', 'b', 'c'];
  expect(ends).toEqual(
    sagas.map(({ stopAt, fails }) =>
      fails
        ? { stopAt, state: 'compensated', effects: [...once, 'undo a', 'undo b', 'undo c'] }
        : { stopAt, state: 'completed', effects: once },
    ),
  );
  await expect
    .poll(() => database.query(`SELECT id FROM treadle.jobs WHERE queue = 'sagas'`), { timeout: 10_000 })
    .toEqual([]);
  expect(await second.end('SIGTERM')).toBe(0);
});

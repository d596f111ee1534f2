import { describe, expect, it } from 'vitest';
import { useDatabase } from '../services/database.ts';
import { runTreadle } from './run-treadle.ts';
import { useCommandLine } from './use-command-line.ts';

const database = useDatabase();
const commandLine = useCommandLine();
const treadle = (args: readonly string[]) => commandLine(args, { DATABASE_URL: database.url });

const unknownId = '01890a5d-ac96-774b-bcce-b302099a8057';

const enqueue = async (...options: string[]): Promise<string> => {
  const { stdout, stderr } = await treadle(['enqueue', 'embeddings.backfill', '{}', '--json', ...options]);
  expect(stderr).toBe('');
  return (JSON.parse(stdout) as { id: string }).id;
};

describe('treadle enqueue', () => {
  it('accepts a job with its options', async () => {
    const id = await enqueue('--delay', '3600', '--priority', '2', '--tag', 'one', '--tag', 'two', '--attempts', '3');
    const { stdout } = await treadle(['jobs', 'show', id, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      id,
      name: 'embeddings.backfill',
      queue: 'embeddings',
      state: 'delayed',
      priority: 2,
      tags: ['one', 'two'],
      attemptsAllowed: 3,
      attemptsMade: 0,
    });
  });

  it('reads the payload from standard input', async () => {
    const { exitCode, stdout } = await runTreadle(
      ['enqueue', 'embeddings.backfill', '-', '--delay', '3600', '--deduplication-key', 'stdin'],
      { env: { DATABASE_URL: database.url }, input: `{"workspaceId":"${unknownId}"}` },
    );
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^Accepted job [0-9a-f-]{36} \(embeddings\.backfill, queue embeddings, delayed\)\.\n$/);
  });

  it('names every fault of a payload with its path, and accepts nothing', async () => {
    const { exitCode, stdout, stderr } = await treadle([
      'enqueue',
      'embeddings.embed-document',
      '{"workspaceId":"x","reason":"boredom"}',
    ]);
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^treadle: the job embeddings\.embed-document is refused:\n/);
    for (const path of ['payload.workspaceId', 'payload.documentId', 'payload.reason'])
      expect(stderr).toContain(`  ${path}: `);
    expect(await database.query(`SELECT FROM treadle.jobs WHERE name = 'embeddings.embed-document'`)).toEqual([]);
  });

  it('refuses the name of no job', async () => {
    const { exitCode, stderr } = await treadle(['enqueue', 'no.such-job', '{}', '--json']);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ error: { message: expect.stringContaining('no.such-job') } });
  });

  it('answers the same job for the same idempotency key, and refuses another payload', async () => {
    const options = ['--delay', '3600', '--idempotency-key', 'once'];
    const first = await enqueue(...options, '--deduplication-key', 'i');
    expect(await enqueue(...options, '--deduplication-key', 'i')).toBe(first);
    const other = await treadle(['enqueue', 'embeddings.backfill', `{"workspaceId":"${unknownId}"}`, ...options]);
    expect(other.exitCode).toBe(1);
    expect(other.stderr).toMatch(/idempotency key/);
  });
});

describe('treadle enqueue, many changes', () => {
  it('debounces and throttles by a deduplication key', async () => {
    const key = ['--deduplication-key', 'paced'];
    const first = await enqueue(...key, '--debounce', '3600', '--debounce-max', '7200');
    expect(await enqueue(...key, '--debounce', '1.5')).toBe(first);
    const [job] = await database.query<{ seconds: number }>(
      'SELECT extract(epoch FROM due_at - now())::float8 AS seconds FROM treadle.jobs WHERE id = $1',
      [first],
    );
    expect(job?.seconds).toBeLessThan(2);
    const keyless = await treadle(['enqueue', 'maintenance.seed', '{}', '--throttle', '60']);
    expect(keyless.exitCode).toBe(1);
    expect(keyless.stderr).toContain('options.throttleMs: needs options.deduplicationKey');
  });
});

describe('treadle jobs', () => {
  it('lists by filter, a page at a time', async () => {
    for (const key of ['p1', 'p2', 'p3'])
      await enqueue('--delay', '3600', '--tag', 'paged', '--deduplication-key', key);
    const list = ['jobs', 'list', '--tag', 'paged', '--state', 'delayed', '--limit', '2', '--json'];
    const first = JSON.parse((await treadle(list)).stdout) as { items: { id: string }[]; nextCursor: string };
    const second = JSON.parse((await treadle([...list, '--cursor', first.nextCursor])).stdout) as typeof first;
    expect([first.items.length, second.items.length, second.nextCursor]).toEqual([2, 1, null]);
    expect(new Set([...first.items, ...second.items].map(({ id }) => id)).size).toBe(3);
    const { stdout, stderr } = await treadle(['jobs', 'list', '--tag', 'paged', '--limit', '2']);
    expect(stdout).toMatch(/^ID +NAME +STATE +ATTEMPTS/);
    expect(stdout.trim().split('\n')).toHaveLength(3);
    expect(stderr).toMatch(/^There are more: --cursor \S+\n$/);
    expect((await treadle(['jobs', 'list', '--tag', 'none'])).stdout).toBe('There are no such jobs.\n');
  });

  it('shows one in words', async () => {
    const id = await enqueue('--delay', '3600', '--deduplication-key', 'words');
    const { stdout } = await treadle(['jobs', 'show', id]);
    expect(stdout).toMatch(new RegExp(`^id +${id}$`, 'm'));
    expect(stdout).toMatch(/^state +delayed$/m);
    expect(stdout).toMatch(/^attempts +0 of 5$/m);
  });

  it('promotes, cancels and puts back to work', async () => {
    const id = await enqueue('--delay', '3600', '--deduplication-key', 'verbs');
    expect((await treadle(['jobs', 'promote', id])).stdout).toMatch(/is made due; its state is accepted\.\n$/);
    expect((await treadle(['jobs', 'cancel', id])).stdout).toMatch(/its state is cancelled\.\n$/);
    const twice = await treadle(['jobs', 'cancel', id, '--json']);
    expect(twice.exitCode).toBe(1);
    expect(JSON.parse(twice.stderr)).toMatchObject({ error: { code: 'DATA_CONSISTENCY_ERROR' } });
    expect((await treadle(['jobs', 'retry', id])).stdout).toMatch(/its state is accepted\.\n$/);
  });

  it('waits no longer than asked, and says that the job has not finished', async () => {
    const id = await enqueue('--delay', '3600', '--deduplication-key', 'wait');
    const { exitCode, stderr } = await treadle(['jobs', 'wait', id, '--timeout', '0.2']);
    expect([exitCode, stderr]).toEqual([1, 'The job has not finished in 0.2 s.\n']);
  });

  it.each(['show', 'cancel', 'retry', 'promote', 'wait'])('%s says that there is no such job', async (verb) => {
    const { exitCode, stderr } = await treadle(['jobs', verb, unknownId]);
    expect([exitCode, stderr]).toEqual([1, `treadle: job "${unknownId}" does not exist\n`]);
  });
});

describe('treadle queues', () => {
  it('lists, pauses and resumes', async () => {
    const waiting = async () =>
      (
        JSON.parse((await treadle(['queues', 'list', '--json'])).stdout) as {
          items: { name: string; paused: boolean }[];
        }
      ).items.find(({ name }) => name === 'embeddings');
    expect(await waiting()).toMatchObject({ paused: false, counts: { active: 0 } });
    expect((await treadle(['queues', 'pause', 'embeddings'])).stdout).toBe('The queue embeddings is paused.\n');
    expect((await treadle(['queues', 'list'])).stdout).toMatch(/^embeddings \(paused\) +\d/m);
    expect((await treadle(['queues', 'resume', 'embeddings'])).exitCode).toBe(0);
    expect(await waiting()).toMatchObject({ paused: false });
    expect((await treadle(['queues', 'pause', 'nowhere'])).stderr).toMatch(/^treadle: queue "nowhere" does not exist/);
  });
});

describe('treadle dead-letters', () => {
  it('lists what failed for good and puts it back to work', async () => {
    const id = await enqueue('--delay', '3600', '--deduplication-key', 'dead');
    await database.query(
      `WITH ended AS (DELETE FROM treadle.jobs WHERE id = $1 RETURNING *)
       INSERT INTO treadle.finished_jobs (id, name, queue, state, priority, tenant, payload, tags, attempts_allowed, attempts_made,
         timeout_ms, due_at, created_at, failures, error)
       SELECT id, name, queue, 'dead', priority, tenant, payload, tags, attempts_allowed, 5, timeout_ms, due_at, created_at, '[]',
         '{"code":"TIMEOUT","message":"took too long"}' FROM ended`,
      [id],
    );
    const { stdout } = await treadle(['dead-letters', 'list', '--error-code', 'TIMEOUT', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ items: [{ id, state: 'dead', error: { code: 'TIMEOUT' } }] });
    expect((await treadle(['dead-letters', 'list', '--error-code', 'OTHER'])).stdout).toBe(
      'There are no such dead letters.\n',
    );
    expect((await treadle(['dead-letters', 'list', '--payload', 'no.such=7', '--tag', 'x'])).stdout).toBe(
      'There are no such dead letters.\n',
    );
    const slowly = await treadle(['dead-letters', 'redrive', '--id', id, '--rate', '5']);
    expect(slowly.stdout).toMatch(/^The job [0-9a-f-]{36} waits until a worker runs for the queue maintenance/);
    const redriven = await treadle(['dead-letters', 'redrive', '--id', id, '--json']);
    expect(JSON.parse(redriven.stdout)).toEqual({ redriven: 1 });
    expect((await treadle(['dead-letters', 'redrive', '--all'])).stdout).toBe('0 dead letters are back at work.\n');
  });
});

describe('treadle schedules', () => {
  it('puts, lists, pauses, resumes and removes', async () => {
    const put = ['schedules', 'put', 'nightly', '--job', 'embeddings.backfill', '--cron', '0 2 * * *'];
    const made = await treadle([...put, '--time-zone', 'Europe/Berlin']);
    expect(made.stdout).toMatch(/^Schedule nightly is set; it runs next at \d{4}-.*Z\.\n$/);
    const listed = JSON.parse((await treadle(['schedules', 'list', '--json'])).stdout) as { items: { name: string }[] };
    expect(listed.items.find(({ name }) => name === 'nightly')).toMatchObject({
      jobName: 'embeddings.backfill',
      cron: '0 2 * * *',
      timeZone: 'Europe/Berlin',
      misfire: 'once',
      paused: false,
    });
    expect((await treadle([...put, '--paused'])).stdout).toBe('Schedule nightly is set; it is paused.\n');
    expect((await treadle(['schedules', 'resume', 'nightly'])).stdout).toMatch(/is resumed; it runs next at /);
    expect((await treadle(['schedules', 'pause', 'nightly'])).stdout).toBe('Schedule nightly is paused.\n');
    expect((await treadle(['schedules', 'list'])).stdout).toMatch(/^nightly .*paused$/m);
    expect((await treadle(['schedules', 'remove', 'nightly'])).exitCode).toBe(0);
    expect((await treadle(['schedules', 'remove', 'nightly'])).stderr).toMatch(/"nightly" does not exist/);
  });

  it('shows when one fires next, runs it by hand, and shows what it did', async () => {
    const put = ['schedules', 'put', 'often', '--job', 'embeddings.backfill', '--every', '90'];
    expect((await treadle([...put, '--anchor', '2026-01-01T00:00:07Z'])).exitCode).toBe(0);
    const next = await treadle(['schedules', 'next', 'often', '--limit', '3']);
    expect(next.stdout).toMatch(/^(?:\d{4}-\d\d-\d\d \d\d:\d\d:[03]7Z\n){3}$/);
    const run = await treadle(['schedules', 'run', 'often', '--json']);
    const { id } = JSON.parse(run.stdout) as { id: string };
    const history = await treadle(['schedules', 'history', 'often']);
    expect(history.stdout).toMatch(new RegExp(`^\\d{4}-.*Z +by hand +${id} +(?:accepted|delayed)$`, 'm'));
  });

  it('names every fault of a schedule', async () => {
    const { exitCode, stderr } = await treadle([
      'schedules',
      'put',
      'bad',
      '--job',
      'no.job',
      '--cron',
      '61 * * * *',
      '--time-zone',
      'Mars',
    ]);
    expect(exitCode).toBe(1);
    for (const path of ['jobName', 'cron', 'timeZone']) expect(stderr).toContain(`  ${path}: `);
  });
});

describe('treadle queues limit', () => {
  it('shows and sets limits of a queue, each tenant and one, and takes them back', async () => {
    const limit = async (...args: string[]) => (await treadle(['queues', 'limit', 'default', ...args])).stdout;
    expect(await limit()).toMatch(/the queue +none\n *each tenant +none/);
    expect(await limit('--rate', '600/60')).toMatch(/the queue +600 in 1 min/);
    await limit('--each-tenant', '--concurrency', '5');
    expect(await limit('--tenant', 'acme', '--weight', '2.5')).toMatch(
      /each tenant +5 at once\n *tenant acme +weight 2\.5/,
    );
    for (const whose of [[], ['--each-tenant'], ['--tenant', 'acme']]) await limit(...whose, '--reset');
    expect(await database.query('SELECT FROM treadle.limits')).toEqual([]);
  });

  it('says what is wrong', async () => {
    expect(await treadle(['queues', 'limit', 'default', '--rate', 'fast'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('such as 600/60'),
    });
    expect(await treadle(['queues', 'limit', 'default', '--tenant', 'a', '--weight', 'much'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('weight'),
    });
    expect(await treadle(['queues', 'limit', 'no-such'])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('no-such'),
    });
  });
});

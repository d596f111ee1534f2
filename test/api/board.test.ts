import { describe, expect, test } from 'vitest';
import { finishJobs } from '../../src/queues/ledger/ledger-writer.ts';
import { useApi, warm } from './use-api.ts';

const api = useApi();

const accept = async (options: Record<string, unknown> = {}): Promise<string> =>
  (await api.call('POST', '/v1/jobs', { body: { name: 'app.greet', payload: { to: 'Ada' }, options } })).body.id;

const die = (id: string) =>
  finishJobs(api.platform.postgres, [
    { id, state: 'dead', error: { code: 'EXTERNAL_SERVICE_ERROR', message: 'no answer' } },
  ]);

const queue = async (status = 'latest', name = 'default') => {
  const answer = await api.call('GET', `/board/api/queues?activeQueue=${name}&status=${status}&page=1&jobsPerPage=10`);
  expect(answer.status).toBe(200);
  return answer.body.queues.find((found: { name: string }) => found.name === name);
};
const idsIn = async (status: string): Promise<string[]> =>
  (await queue(status)).jobs.map((job: { id: string }) => job.id);
const shown = async (id: string) => (await api.call('GET', `/board/api/queues/default/${id}`)).body;
const add = (data: unknown) =>
  api.call('POST', '/board/api/queues/default/add', {
    body: { name: 'app.greet', data, options: { delay: 60_000 } },
  });
const press = (path: string) => api.call('PUT', `/board/api/queues/default/${path}`);

describe('the board', () => {
  test('shows every queue, those of pg-boss as well', async () => {
    const answer = await api.call('GET', '/board/api/queues');
    const names = answer.body.queues.map((found: { name: string }) => found.name);
    expect(names).toEqual(expect.arrayContaining(['default', 'embeddings', 'maintenance']));
  });

  test('shows what waits in a queue without a row in the ledger, and takes it out', async () => {
    const before = (await queue()).counts.waiting;
    const { id } = await api.platform.enqueuer.enqueue(warm, { key: 'front-page' });
    await api.until(async () => (await queue()).counts.waiting === before + 1);
    expect(await idsIn('waiting')).toContain(id);
    expect(await shown(id)).toMatchObject({ job: { id, data: { key: 'front-page' } } });
    expect((await press(`${id}/clean`)).status).toBe(204);
    expect(await idsIn('waiting')).not.toContain(id);
  });

  test('shows jobs under the tab of their state, with what they carry', async () => {
    const accepted = await accept({ tags: ['seen'], priority: 3 });
    const delayed = await accept({ delayMs: 3_600_000 });
    const completed = await accept();
    await finishJobs(api.platform.postgres, [{ id: completed, state: 'completed', resultJson: '{"greeted":true}' }]);
    const dead = await accept();
    await die(dead);
    const cancelled = await accept();
    await api.call('POST', `/v1/jobs/${cancelled}/cancel`);

    await api.until(async () => (await queue()).counts.failed === 2);
    expect((await queue()).counts).toEqual({
      active: 0,
      waiting: 1,
      'waiting-children': 0,
      delayed: 1,
      completed: 1,
      failed: 2,
    });
    expect(await idsIn('waiting')).toEqual([accepted]);
    expect(await idsIn('delayed')).toEqual([delayed]);
    expect(await idsIn('completed')).toEqual([completed]);
    expect((await idsIn('failed')).toSorted()).toEqual([cancelled, dead].toSorted());
    expect((await idsIn('latest')).toSorted()).toEqual([accepted, delayed, completed, dead, cancelled].toSorted());

    expect(await shown(accepted)).toMatchObject({
      status: 'waiting',
      job: { name: 'app.greet', data: { to: 'Ada' }, opts: { state: 'accepted', priority: 3, tags: ['seen'] } },
    });
    expect((await shown(completed)).job.returnValue).toEqual({ greeted: true });
    expect((await shown(dead)).job.failedReason).toBe('EXTERNAL_SERVICE_ERROR: no answer');
    expect((await shown(cancelled)).job.failedReason).toBe('cancelled');
  });

  test('pages through a tab', async () => {
    const ids: string[] = [];
    for (let number = 0; number < 12; number += 1) ids.unshift(await accept());
    await api.until(async () => (await queue('waiting')).counts.waiting >= 12);
    const page = async (number: number): Promise<string[]> =>
      (
        await api.call('GET', `/board/api/queues?activeQueue=default&status=waiting&page=${number}&jobsPerPage=5`)
      ).body.queues
        .find((found: { name: string }) => found.name === 'default')
        .jobs.map((job: { id: string }) => job.id);
    expect([...(await page(1)), ...(await page(2))]).toEqual(ids.slice(0, 10));
  });

  test('retries a dead job', async () => {
    const id = await accept();
    await die(id);
    expect((await press(`${id}/retry`)).status).toBe(204);
    expect((await api.platform.jobs.find(id))?.state).toBe('accepted');
  });

  test('promotes a delayed job, and all of them', async () => {
    const [first, second] = [await accept({ delayMs: 3_600_000 }), await accept({ delayMs: 3_600_000 })];
    expect((await press(`${first}/promote`)).status).toBe(204);
    expect((await api.platform.jobs.find(first))?.state).toBe('accepted');
    expect((await press('promote')).status).toBe(200);
    expect((await api.platform.jobs.find(second))?.state).toBe('accepted');
  });

  test('removes a job', async () => {
    const id = await accept();
    expect((await press(`${id}/clean`)).status).toBe(204);
    expect(await api.platform.jobs.find(id)).toBeUndefined();
  });

  test('cleans the failed jobs that have been so for a while, and leaves others', async () => {
    const [old, fresh] = [await accept(), await accept()];
    await die(old);
    await api.database.query(
      "UPDATE treadle.finished_jobs SET finished_at = now() - interval '1 minute' WHERE id = $1",
      [old],
    );
    await die(fresh);
    expect((await press('clean/failed')).status).toBe(200);
    expect(await api.platform.jobs.find(old)).toBeUndefined();
    expect(await api.platform.jobs.find(fresh)).toBeDefined();
  });

  test('retries all failed jobs', async () => {
    const ids = [await accept(), await accept(), await accept()];
    for (const id of ids) await die(id);
    await api.until(async () => (await queue()).counts.failed >= 3);
    const answer = await press('retry/failed');
    expect(answer.body.retried).toBeGreaterThanOrEqual(3);
    for (const id of ids) expect((await api.platform.jobs.find(id))?.state).toBe('accepted');
  });

  test('pauses and resumes a queue', async () => {
    await press('pause');
    expect((await queue()).isPaused).toBe(true);
    await press('resume');
    expect((await queue()).isPaused).toBe(false);
  });

  test('adds a job, after the same checks as everywhere', async () => {
    const added = await add({ to: 'Grace' });
    expect(added.body).toMatchObject({ status: 'delayed', job: { data: { to: 'Grace' } } });
    const refused = await add({ to: '' });
    expect(refused.status).toBe(400);
    expect(refused.body.message).toContain('payload.to');
  });

  test('shows, runs, changes and removes the schedules of a queue', async () => {
    await api.platform.schedules.put('hourly-greeting', {
      jobName: 'app.greet',
      payload: { to: 'Clock' },
      cron: '0 * * * *',
    });
    const schedules = async () =>
      (await api.call('GET', '/board/api/job-schedulers?queueName=default')).body.schedulers;
    expect(await schedules()).toEqual([
      expect.objectContaining({ id: 'hourly-greeting', name: 'app.greet', pattern: '0 * * * *', queueName: 'default' }),
    ]);
    const run = await press('job-schedulers/hourly-greeting/run');
    expect(run.status).toBe(200);
    const changed = await api.call('PATCH', '/board/api/queues/default/job-schedulers/hourly-greeting', {
      body: { pattern: '30 * * * *' },
    });
    expect(changed.status).toBe(204);
    expect((await api.platform.schedules.find('hourly-greeting'))?.cron).toBe('30 * * * *');
    expect((await press('job-schedulers/hourly-greeting/remove')).status).toBe(204);
    expect(await schedules()).toEqual([]);
  });

  test('refuses what Treadle does not do, and says so', async () => {
    const id = await accept();
    const edited = await api.call('PATCH', `/board/api/queues/default/${id}/update-data`, {
      body: { jobData: { to: 'Eve' } },
    });
    expect(edited.status).toBe(405);
    expect((await api.platform.jobs.find(id))?.payload).toEqual({ to: 'Ada' });
    await press('pause');
    expect((await press('obliterate')).status).toBe(405);
    await press('resume');
    expect((await press('concurrency')).status).toBe(400);
  });

  test('answers for jobs and queues that are not there', async () => {
    expect((await api.call('GET', '/board/api/queues/default/nonsense')).status).toBe(404);
    expect((await api.call('GET', '/board/api/queues/nowhere/pause')).status).toBe(404);
    expect((await press('00000000-0000-7000-8000-000000000000/retry')).status).toBe(404);
  });

  test('empties a queue', async () => {
    const [waiting, delayed] = [await accept(), await accept({ delayMs: 3_600_000 })];
    expect((await press('empty')).status).toBe(200);
    expect(await api.platform.jobs.find(waiting)).toBeUndefined();
    expect(await api.platform.jobs.find(delayed)).toBeUndefined();
  });

  test('is a page that a browser loads from here alone', async () => {
    const answer = await api.call('GET', '/board/', { headers: { accept: 'text/html' } });
    expect(answer.status).toBe(200);
    const policy = String(answer.headers['content-security-policy']);
    for (const directive of ["default-src 'self'", "font-src 'self'", "style-src 'self' 'unsafe-inline'"]) {
      expect(policy).toContain(directive);
    }
    expect(policy).not.toContain('http');
    const script = /src="(static\/js\/main[^"]*)"/.exec(answer.body)?.[1];
    expect((await api.call('GET', `/board/${script}`)).status).toBe(200);
  });
});

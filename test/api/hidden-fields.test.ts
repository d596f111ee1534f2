import { expect, test } from 'vitest';
import { finishJobs } from '../../src/queues/ledger/ledger-writer.ts';
import { useApi } from './use-api.ts';

const api = useApi();
const payload = { user: 'ada', login: { mail: 'ada@example.org', pin: '9876' } };
const shown = { user: 'ada', login: { mail: '[redacted]', pin: '[encrypted]' } };

test('what a contract hides is shown by no route and not on the board', async () => {
  const { id } = (await api.call('POST', '/v1/jobs', { body: { name: 'app.sign-up', payload } })).body;
  const resultJson = '{"token":"t-55","welcome":true}';
  await finishJobs(api.platform.postgres, [
    { id, state: 'dead', resultJson, error: { code: 'TIMEOUT', message: 'too late' } },
  ]);
  const answers = await Promise.all(
    [
      `/v1/jobs/${id}`,
      '/v1/jobs?name=app.sign-up',
      `/v1/jobs/${id}/wait`,
      `/v1/jobs/${id}/events`,
      '/v1/dead-letters',
      `/board/api/queues/default/${id}`,
      '/board/api/queues?activeQueue=default&status=failed&page=1&jobsPerPage=10',
    ].map((url) => api.call('GET', url)),
  );
  expect(answers[0]?.body).toMatchObject({ payload: shown, result: { token: '[redacted]', welcome: true } });
  expect(answers[5]?.body.job.data).toEqual(shown);
  for (const { status, body } of answers) {
    expect(status).toBe(200);
    expect(JSON.stringify(body)).toContain('[redacted]');
    expect(JSON.stringify(body)).not.toMatch(/example|9876|treadle:enc|t-55/);
  }
});

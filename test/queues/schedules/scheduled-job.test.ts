import { expect, test } from 'vitest';
import { z } from 'zod';
import { defineJob } from '../../../src/queues/define-job.ts';
import { handle } from '../../../src/queues/handle.ts';
import { completed } from '../../../src/queues/outcome.ts';
import { useDatabase } from '../../services/database.ts';
import { useTreadle } from '../use-treadle.ts';
import { eventually } from './schedule-fixtures.ts';

const greet = defineJob({ name: 'tests.greet', payload: z.object({ name: z.string() }), result: z.string() });

const database = useDatabase();
const treadle = useTreadle({
  database,
  contracts: [greet],
  handlers: [handle(greet, ({ payload }) => Promise.resolve(completed(`hello ${payload.name}`)))],
});

test('a scheduled job runs, and says which schedule it came from', async () => {
  const { schedules, jobs } = treadle.platform;
  await schedules.put('greeting', {
    jobName: greet.name,
    payload: { name: 'you' },
    options: { tags: ['scheduled'] },
    cron: '* * * * * *',
  });
  await eventually(async () => {
    const { items } = await jobs.list({ name: greet.name, state: 'completed' }, { limit: 1 });
    expect(items[0]).toMatchObject({ scheduleName: 'greeting', result: 'hello you', tags: ['scheduled'] });
  });
  expect((await schedules.find('greeting'))?.lastFireAt).toBeInstanceOf(Date);
  await schedules.remove('greeting');
});

import { expect, test } from 'vitest';
import type { AppliedBatch, Sink } from '../../src/changes/change-batch.ts';
import { ChangeBacklog } from '../../src/changes/change-backlog.ts';
import { SinkRunner } from '../../src/changes/sink-runner.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { versionOf } from '../../src/lib/replication/change-version.ts';
import { parseLsn } from '../../src/lib/replication/lsn.ts';
import { useDatabase } from '../services/database.ts';

const database = useDatabase();

test('what an ended process left in the backlog is written as new as what its sink has had, before anything else is heard', async () => {
  const batches: AppliedBatch[] = [];
  const sink: Sink = {
    name: 'sink',
    watches: [],
    apply: (batch) => Promise.resolve(void batches.push(batch)),
    startOver: () => Promise.resolve(),
  };
  const entity = { kind: 'item', workspaceId: 'w', id: '1' };
  await new ChangeBacklog(database.postgres, 'sink').add({ entities: [entity], truncated: ['item'] });
  const position = parseLsn('2/1000');
  const runner = new SinkRunner({
    sink,
    position,
    epoch: 3,
    db: database.postgres,
    log: createLog({ level: 'silent' }),
    onProgress: () => undefined,
    onFailure: () => undefined,
  });
  runner.start();
  await expect.poll(() => runner.state, { timeout: 20_000 }).toBe('following');
  await runner.close();
  expect(batches).toMatchObject([{ entities: [entity], truncated: ['item'], version: versionOf(3, position) }]);
  expect(await database.query('SELECT FROM treadle.change_backlog')).toEqual([]);
});

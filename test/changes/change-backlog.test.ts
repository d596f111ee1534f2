import { expect, test } from 'vitest';
import { ChangeBacklog } from '../../src/changes/change-backlog.ts';
import { useDatabase } from '../services/database.ts';

const database = useDatabase();
const entity = (id: string) => ({ kind: 'item', workspaceId: 'w', id });

test('what another process marks while a chunk is taken stays, whichever mark is the older', async () => {
  const backlog = new ChangeBacklog(database.postgres, 'sink');
  await backlog.add({ entities: [entity('1')], truncated: [] });
  const other = await database.postgres.connectDirect('other');
  try {
    // Marked before 3, and committed after it.
    await other.query('BEGIN');
    await new ChangeBacklog(other, 'sink').add({ entities: [entity('2')], truncated: [] });
    await backlog.add({ entities: [entity('3')], truncated: [] });
    const chunk = await backlog.next(10);
    await other.query('COMMIT');
    await backlog.add({ entities: [entity('1')], truncated: [] });
    expect(chunk?.entities).toEqual([entity('1'), entity('3')]);
    if (chunk) await backlog.remove(chunk);
    expect((await backlog.next(10))?.entities).toEqual([entity('2'), entity('1')]);
  } finally {
    await other.end();
  }
});

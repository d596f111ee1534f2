import { setTimeout as delay } from 'node:timers/promises';
import type { QueuedEntity } from '../../../src/changes/change-batch.ts';
import { ChangeFeed } from '../../../src/changes/change-feed.ts';
import { SinkQueue } from '../../../src/changes/sink-queue.ts';
import type { TableSource } from '../../../src/domain/search/indexes/table-source.ts';
import { ReplicationStream } from '../../../src/lib/replication/replication-stream.ts';
import { createSlot, dropSlot } from '../../../src/lib/replication/slot.ts';
import type { TestDatabase } from '../../services/database.ts';

export interface StreamOfTable {
  /** What a sink is given of the transactions that were committed until now and not taken yet; so many entities at least. */
  take(atLeast: number): Promise<readonly QueuedEntity[]>;
  close(): Promise<void>;
}

/** Follows the tables of a source as the replicator does, with a publication and a slot of its own. */
export const streamOfTable = async (database: TestDatabase, source: TableSource): Promise<StreamOfTable> => {
  const name = `test_${process.pid}_${Math.random().toString(36).slice(2)}`;
  await database.query(`CREATE PUBLICATION ${name} FOR TABLE ${source.index.table}`);
  const client = await database.postgres.connectDirect('slot');
  await createSlot(client, name);
  await client.end();
  const queue = new SinkQueue(1);
  const feed = new ChangeFeed([{ queue, watches: source.watches }]);
  const stream = await ReplicationStream.start({
    target: database.url,
    applicationName: 'test',
    slot: name,
    publications: [name],
    onMessage: (message) => feed.take(message),
  });
  return {
    take: async (atLeast) => {
      const taken: QueuedEntity[] = [];
      for (const deadline = Date.now() + 20_000; taken.length < atLeast; await delay(2)) {
        taken.push(...queue.take().entities);
        if (Date.now() > deadline) throw new Error(`the stream told of ${taken.length} rows, not of ${atLeast}`);
      }
      return taken;
    },
    close: async () => {
      await stream.stop();
      await dropSlot(database.postgres, name);
      await database.query(`DROP PUBLICATION ${name}`);
    },
  };
};

import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { Watch } from '../../lib/replication/watch.ts';
import type { AppliedBatch, Sink } from '../change-batch.ts';

const kind = 'event';

const watch: Watch = {
  schema: 'treadle',
  table: 'events',
  kinds: [],
  entitiesOf: (row) => [{ kind, workspaceId: row('workspace_id') ?? '', id: row('id') ?? '' }],
};

/** The channel on which followers of events are woken; what there is to read they find in the table, in commit order. */
const eventChannel = 'treadle_events';

/**
 * Tells whoever follows domain events that there are new ones, once they can be seen: nothing is told of a transaction
 * that was rolled back, nor before it was committed.
 */
export class EventSink implements Sink {
  readonly name = 'events';
  readonly watches = [watch];
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  async apply({ entities }: AppliedBatch): Promise<void> {
    if (entities.length > 0) await this.#tell(entities.length);
  }

  /** Followers keep positions of their own: they read what they missed. */
  async startOver(): Promise<void> {
    await this.#tell(0);
  }

  async #tell(events: number): Promise<void> {
    await this.#db.query('SELECT pg_notify($1, $2)', [eventChannel, String(events)]);
  }
}

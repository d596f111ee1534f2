import { sql, type RawBuilder } from 'kysely';
import { z } from 'zod';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { pageOf, readPageRequest, type Page, type PageRequest } from '../../lib/postgres/keyset-page.ts';
import type { Postgres } from '../../lib/postgres/postgres.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { featureType, nodeFilter, type NodeFilter } from './input.ts';
import { toSummary, type SummaryRow } from './summary.ts';
import type { FeatureType, NodeEvent, NodeReference, NodeSummary } from './types.ts';

const latestKey = z.tuple([z.iso.datetime(), z.guid()]);
const revisionKey = z.tuple([z.string().regex(/^\d{1,9}$/)]);

interface EventRow {
  readonly event_id: string;
  readonly event_type: string;
  readonly revision: number;
  readonly data: NodeEvent['data'];
  readonly actor: string | null;
  readonly change_summary: string | null;
  readonly timestamp: Date;
}

const toEvent = (row: EventRow): NodeEvent => ({
  eventId: row.event_id,
  eventType: row.event_type,
  revision: row.revision,
  data: row.data,
  actor: row.actor,
  changeSummary: row.change_summary,
  timestamp: row.timestamp,
});

/** Reads what the changes of nodes have left: lists and histories. Nothing here writes, {@link rebuild} apart. */
export class NodeQueries {
  readonly #postgres: Postgres;

  constructor(postgres: Postgres) {
    this.#postgres = postgres;
  }

  /** The entities of a feature, latest change first, 20 a page. @throws AppError VALIDATION_ERROR. */
  async list(
    workspaceId: string,
    feature: FeatureType,
    { limit, cursor, ...filter }: NodeFilter & PageRequest = {},
  ): Promise<Page<NodeSummary>> {
    parseOrThrow(featureType, feature, 'the feature');
    const { status, tag } = parseOrThrow(nodeFilter, filter, 'the filter');
    const start = await readPageRequest(
      this.#postgres,
      { limit, cursor },
      {
        list: 'nodes',
        scope: [workspaceId, feature, status, tag],
        key: latestKey,
      },
    );
    if (!isUuid(workspaceId))
      return pageOf<never, NodeSummary, [string, string]>([], start, { keyOf: (row) => row, toItem: (row) => row });
    const [beyond, order]: [RawBuilder<unknown>, RawBuilder<unknown>] =
      start.direction === 'next' ? [sql`<`, sql`DESC`] : [sql`>`, sql`ASC`];
    const from = start.key
      ? sql`(updated_at, entity_id) ${beyond} (${start.key[0]}::timestamptz, ${start.key[1]}::uuid)`
      : sql`true`;
    const { rows } = await sql<SummaryRow & { readonly updated_key: string }>`
      SELECT feature_type, entity_id, node_id, node_type, name, status, position_x, position_y, tags, revision, created_at, updated_at,
        to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_key
      FROM treadle.node_metadata
      WHERE workspace_id = ${workspaceId} AND feature_type = ${feature} AND node_id = '' AND deleted_at IS NULL AND ${from}
        AND ${status === undefined ? sql`true` : sql`status = ${status}`}
        AND ${tag === undefined ? sql`true` : sql`tags @> ARRAY[${tag}]`}
      ORDER BY updated_at ${order}, entity_id ${order} LIMIT ${start.limit + 1}`.execute(this.#postgres.reader.db);
    return pageOf(rows, start, { keyOf: (row) => [row.updated_key, row.entity_id], toItem: toSummary });
  }

  /** The changes of an entity, latest first, 20 a page; they stay when it is deleted. @throws AppError VALIDATION_ERROR. */
  async events(
    workspaceId: string,
    { featureType: feature, entityId }: NodeReference,
    page: PageRequest = {},
  ): Promise<Page<NodeEvent>> {
    const start = await readPageRequest(this.#postgres, page, {
      list: 'node-events',
      scope: [workspaceId, feature, entityId],
      key: revisionKey,
    });
    const known = isUuid(workspaceId) && isUuid(entityId);
    const next = start.direction === 'next';
    const from = start.key ? sql`revision ${next ? sql`<` : sql`>`} ${start.key[0]}::integer` : sql`true`;
    const { rows } = known
      ? await sql<EventRow>`SELECT * FROM treadle.node_events
          WHERE workspace_id = ${workspaceId} AND feature_type = ${feature} AND entity_id = ${entityId} AND ${from}
          ORDER BY revision ${next ? sql`DESC` : sql`ASC`} LIMIT ${start.limit + 1}`.execute(this.#postgres.reader.db)
      : { rows: [] };
    return pageOf(rows, start, { keyOf: (row): [string] => [String(row.revision)], toItem: toEvent });
  }

  /** Makes what lists and links read anew from the events; writers wait meanwhile. Answers how many nodes there are. */
  async rebuild(workspaceId: string): Promise<number> {
    if (!isUuid(workspaceId)) return 0;
    return this.#postgres.transaction(
      async (tx) => {
        const { rows } = await tx.query<{ nodes: number }>('SELECT treadle.rebuild_nodes($1)::float8 AS nodes', [
          workspaceId,
        ]);
        return rows[0]?.nodes ?? 0;
      },
      { name: 'nodes.rebuild', timeoutMs: 600_000 },
    );
  }
}

import { sql, type Kysely, type RawBuilder } from 'kysely';
import { AppError, notFound, validationError } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { connectionsInput, linkInput, nodeReference, type ConnectionsInput, type LinkInput } from './input.ts';
import { toSummary, type SummaryRow } from './summary.ts';
import type { ConnectedNode, FeatureType, LinkType, NodeLink, NodeReference } from './types.ts';

interface LinkRow {
  readonly link_id: string;
  readonly workspace_id: string;
  readonly source_feature: FeatureType;
  readonly source_entity_id: string;
  readonly source_node_id: string;
  readonly target_feature: FeatureType;
  readonly target_entity_id: string;
  readonly target_node_id: string;
  readonly link_type: string;
  readonly link_strength: string;
  readonly link_context: NodeLink['linkContext'];
  readonly visual_properties: NodeLink['visualProperties'];
  readonly color: string | null;
  readonly is_bidirectional: boolean;
  readonly created_by: string | null;
  readonly revision: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const end = (featureType: FeatureType, entityId: string, nodeId: string): NodeReference =>
  nodeId === '' ? { featureType, entityId } : { featureType, entityId, nodeId };

const toLink = (row: LinkRow): NodeLink => ({
  linkId: row.link_id,
  workspaceId: row.workspace_id,
  source: end(row.source_feature, row.source_entity_id, row.source_node_id),
  target: end(row.target_feature, row.target_entity_id, row.target_node_id),
  linkType: row.link_type,
  linkStrength: Number(row.link_strength),
  linkContext: row.link_context,
  visualProperties: row.visual_properties,
  color: row.color,
  isBidirectional: row.is_bidirectional,
  createdBy: row.created_by,
  revision: row.revision,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

const withType = sql`link.*, coalesce(link.visual_properties ->> 'color', type.color) AS color, type.is_bidirectional`;
const types = sql`JOIN treadle.node_link_types AS type ON type.type_name = link.link_type`;

/** Rows that a walk looks at before it stops; a hub has more neighbours than anybody reads. */
const mostSteps = 10_000;
const mostNeighbours = 1_000;

const fault = (path: string, message: string) => () => validationError('the link', [{ path, message }]);

/** Links between nodes of all features, and what can be reached over them. Every method names the workspace. */
export class LinkRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  /**
   * @throws AppError VALIDATION_ERROR naming what is wrong, an end that does not exist or an unknown type included;
   * DATA_CONSISTENCY_ERROR when the nodes are linked so already.
   */
  async createNodeLink(workspaceId: string, input: LinkInput, actor?: string): Promise<NodeLink> {
    const link = parseOrThrow(linkInput, input, 'the link');
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    const { source, target } = link;
    const { rows } = await explainConstraints(
      {
        node_links_source_fkey: fault('source', 'does not exist in the workspace'),
        node_links_target_fkey: fault('target', 'does not exist in the workspace'),
        node_links_type_fkey: fault('linkType', 'is no type of links'),
        node_links_ends_key: () =>
          new AppError('DATA_CONSISTENCY_ERROR', 'the nodes are linked so already', {
            entity: 'link',
            entityId: link.linkType,
          }),
      },
      () =>
        sql<LinkRow>`
        WITH link AS (
          INSERT INTO treadle.node_links (workspace_id, source_feature, source_entity_id, source_node_id, target_feature,
            target_entity_id, target_node_id, link_type, link_strength, link_context, visual_properties, created_by)
          VALUES (${workspaceId}, ${source.featureType}, ${source.entityId}, ${source.nodeId ?? ''}, ${target.featureType},
            ${target.entityId}, ${target.nodeId ?? ''}, ${link.linkType}, ${link.linkStrength},
            ${JSON.stringify(link.linkContext)}::jsonb, ${JSON.stringify(link.visualProperties)}::jsonb, ${actor ?? null})
          RETURNING *)
        SELECT ${withType} FROM link LEFT ${types}`.execute(this.#db),
    );
    const [row] = rows;
    if (!row) throw new Error('INSERT answered no row');
    return toLink(row);
  }

  /** Undefined for a link of another workspace too. */
  async getNodeLink(workspaceId: string, linkId: string): Promise<NodeLink | undefined> {
    if (!isUuid(workspaceId) || !isUuid(linkId)) return undefined;
    const [link] = await this.#links(workspaceId, sql`link.link_id = ${linkId}`, 1);
    return link;
  }

  /**
   * Links from or to a node, latest first, 1,000 at most; of an entity also those of its elements.
   * @throws AppError VALIDATION_ERROR.
   */
  getNodeLinks(workspaceId: string, reference: NodeReference): Promise<readonly NodeLink[]> {
    const { featureType, entityId, nodeId } = parseOrThrow(nodeReference, reference, 'the node');
    if (!isUuid(workspaceId)) return Promise.resolve([]);
    const at = (side: 'source' | 'target'): RawBuilder<unknown> => {
      const element = nodeId === undefined ? sql`true` : sql`link.${sql.ref(`${side}_node_id`)} = ${nodeId}`;
      return sql`(link.${sql.ref(`${side}_feature`)} = ${featureType} AND link.${sql.ref(`${side}_entity_id`)} = ${entityId} AND ${element})`;
    };
    return this.#links(workspaceId, sql`(${at('source')} OR ${at('target')})`, 1_000);
  }

  /** @throws AppError NOT_FOUND. */
  async removeNodeLink(workspaceId: string, linkId: string): Promise<void> {
    if (!isUuid(workspaceId) || !isUuid(linkId)) throw notFound('link', linkId);
    const { numAffectedRows } = await sql`DELETE FROM treadle.node_links
      WHERE workspace_id = ${workspaceId} AND link_id = ${linkId}`.execute(this.#db);
    if (numAffectedRows !== 1n) throw notFound('link', linkId);
  }

  async linkTypes(): Promise<readonly LinkType[]> {
    const rows = await this.#db
      .selectFrom('node_link_types')
      .selectAll()
      .orderBy('created_at')
      .orderBy('type_id')
      .execute();
    return rows.map((row) => ({
      typeId: row.type_id,
      typeName: row.type_name,
      description: row.description,
      color: row.color,
      icon: row.icon,
      isBidirectional: row.is_bidirectional,
    }));
  }

  /**
   * The entities that links lead to from a node, nearest first, whichever of their elements the links are at. Links are
   * followed both ways, or only along or against their direction; those of a bidirectional type always both ways.
   * @throws AppError VALIDATION_ERROR for a depth beyond 10 or a limit beyond 1,000.
   */
  async getConnectedNodes(
    workspaceId: string,
    reference: NodeReference,
    how: ConnectionsInput = {},
  ): Promise<readonly ConnectedNode[]> {
    const { featureType, entityId, nodeId = '' } = parseOrThrow(nodeReference, reference, 'the node');
    const { depth, limit, direction, linkTypes } = parseOrThrow(connectionsInput, how, 'the request');
    if (!isUuid(workspaceId)) return [];
    const neighbours = (from: 'source' | 'target', to: 'source' | 'target', against: string): RawBuilder<unknown> =>
      sql`(SELECT ${sql.ref(`${to}_feature`)} AS feature, ${sql.ref(`${to}_entity_id`)} AS entity FROM treadle.node_links
        WHERE ${sql.ref(`${from}_entity_id`)} = walk.entity AND ${sql.ref(`${from}_feature`)} = walk.feature
          AND workspace_id = ${workspaceId}
          AND (walk.depth > 0 OR ${nodeId} = '' OR ${sql.ref(`${from}_node_id`)} = ${nodeId})
          AND (${direction} <> ${against} OR link_type IN (SELECT type_name FROM treadle.node_link_types WHERE is_bidirectional))
          AND (${linkTypes ?? null}::text[] IS NULL OR link_type = ANY (${linkTypes ?? null}::text[]))
        LIMIT ${mostNeighbours})`;
    const { rows } = await sql<SummaryRow & { readonly depth: number }>`
      WITH RECURSIVE walk (feature, entity, depth) AS (
        SELECT ${featureType}::text, ${entityId}::uuid, 0
        UNION
        SELECT next.feature, next.entity, walk.depth + 1
        FROM walk, LATERAL (${neighbours('source', 'target', 'in')} UNION ALL ${neighbours('target', 'source', 'out')}) AS next
        WHERE walk.depth < ${depth}
      ), reached AS (
        SELECT feature, entity, min(depth) AS depth FROM (SELECT * FROM walk LIMIT ${mostSteps}) AS steps
        WHERE (feature, entity) <> (${featureType}, ${entityId}::uuid) GROUP BY feature, entity
      )
      SELECT node.feature_type, node.entity_id, node.node_id, node.node_type, node.name, node.status, node.position_x, node.position_y,
        node.tags, node.revision, node.created_at, node.updated_at, reached.depth
      FROM (SELECT * FROM reached ORDER BY depth, entity LIMIT ${limit}) AS reached
      JOIN treadle.node_metadata AS node ON node.workspace_id = ${workspaceId} AND node.feature_type = reached.feature
        AND node.entity_id = reached.entity AND node.node_id = ''
      ORDER BY reached.depth, node.entity_id`.execute(this.#db);
    return rows.map((row) => ({ ...toSummary(row), depth: row.depth }));
  }

  async #links(workspaceId: string, condition: RawBuilder<unknown>, limit: number): Promise<readonly NodeLink[]> {
    const { rows } = await sql<LinkRow>`SELECT ${withType} FROM treadle.node_links AS link ${types}
      WHERE link.workspace_id = ${workspaceId} AND ${condition}
      ORDER BY link.created_at DESC, link.link_id DESC LIMIT ${limit}`.execute(this.#db);
    return rows.map(toLink);
  }
}

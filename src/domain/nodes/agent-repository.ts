import { sql, type Kysely } from 'kysely';
import { AppError, notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { explainConstraints } from '../../lib/postgres/constraint-error.ts';
import type { DB } from '../../lib/postgres/schema.generated.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import { columnsOf } from './entity-table.ts';
import { agentInput, agentPatch, nodeReference, type AgentInput, type AgentPatch } from './input.ts';
import type { AIAgentConfig, NodeReference } from './types.ts';

interface AgentRow {
  readonly name: string;
  readonly instructions: string | null;
  readonly tools: readonly unknown[];
  readonly capabilities: AIAgentConfig['capabilities'];
  readonly metadata: AIAgentConfig['metadata'];
  readonly is_enabled: boolean;
}

const columns = {
  name: 'name',
  instructions: 'instructions',
  tools: 'tools',
  capabilities: 'capabilities',
  metadata: 'metadata',
  isEnabled: 'is_enabled',
};
const defaults = { instructions: null, tools: [], capabilities: {}, metadata: {}, is_enabled: true };
const set = sql.join(Object.values(columns).map((column) => sql.ref(column)));

const toAgent = (row: AgentRow): AIAgentConfig => ({
  name: row.name,
  instructions: row.instructions,
  tools: row.tools,
  capabilities: row.capabilities,
  metadata: row.metadata,
  isEnabled: row.is_enabled,
});

/** The agent of a node: one at most. Every method names the workspace. */
export class AgentRepository {
  readonly #db: Kysely<DB>;

  constructor(db: Kysely<DB>) {
    this.#db = db;
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND for the node, DATA_CONSISTENCY_ERROR when it has an agent. */
  async createAIAgent(workspaceId: string, node: NodeReference, input: AgentInput): Promise<AIAgentConfig> {
    const agent = { ...defaults, ...columnsOf({ columns }, parseOrThrow(agentInput, input, 'the agent')) };
    const { featureType, entityId, nodeId = '' } = this.#reference(workspaceId, node);
    const { rows } = await explainConstraints(
      {
        ai_agents_node_fkey: () => notFound('node', nodeId || entityId),
        ai_agents_node_key: () =>
          new AppError('DATA_CONSISTENCY_ERROR', 'the node has an agent already', {
            entity: 'agent',
            entityId: nodeId || entityId,
          }),
      },
      () =>
        sql<AgentRow>`INSERT INTO treadle.ai_agents (workspace_id, feature_type, entity_id, node_id, ${set})
        SELECT ${workspaceId}, ${featureType}, ${entityId}, ${nodeId}, ${set}
        FROM jsonb_populate_record(NULL::treadle.ai_agents, ${JSON.stringify(agent)}::jsonb)
        RETURNING *`.execute(this.#db),
    );
    return this.#one(rows, nodeId || entityId);
  }

  async getAIAgent(workspaceId: string, node: NodeReference): Promise<AIAgentConfig | undefined> {
    const { featureType, entityId, nodeId = '' } = this.#reference(workspaceId, node);
    const { rows } = await sql<AgentRow>`SELECT * FROM treadle.ai_agents
      WHERE workspace_id = ${workspaceId} AND feature_type = ${featureType} AND entity_id = ${entityId} AND node_id = ${nodeId}`.execute(
      this.#db,
    );
    return rows[0] && toAgent(rows[0]);
  }

  /** @throws AppError VALIDATION_ERROR, NOT_FOUND. */
  async updateAIAgent(workspaceId: string, node: NodeReference, input: AgentPatch): Promise<AIAgentConfig> {
    const patch = columnsOf({ columns }, parseOrThrow(agentPatch, input, 'the agent'));
    const { featureType, entityId, nodeId = '' } = this.#reference(workspaceId, node);
    const { rows } = await sql<AgentRow>`UPDATE treadle.ai_agents AS agent
      SET (${set}) = (SELECT ${set} FROM jsonb_populate_record(agent, ${JSON.stringify(patch)}::jsonb))
      WHERE workspace_id = ${workspaceId} AND feature_type = ${featureType} AND entity_id = ${entityId} AND node_id = ${nodeId}
      RETURNING *`.execute(this.#db);
    return this.#one(rows, nodeId || entityId);
  }

  /** @throws AppError NOT_FOUND. */
  async deleteAIAgent(workspaceId: string, node: NodeReference): Promise<void> {
    const { featureType, entityId, nodeId = '' } = this.#reference(workspaceId, node);
    const { rows } = await sql<AgentRow>`DELETE FROM treadle.ai_agents
      WHERE workspace_id = ${workspaceId} AND feature_type = ${featureType} AND entity_id = ${entityId} AND node_id = ${nodeId}
      RETURNING *`.execute(this.#db);
    this.#one(rows, nodeId || entityId);
  }

  #reference(workspaceId: string, node: NodeReference): NodeReference {
    if (!isUuid(workspaceId)) throw notFound('workspace', workspaceId);
    return parseOrThrow(nodeReference, node, 'the node');
  }

  #one([row]: readonly AgentRow[], id: string): AIAgentConfig {
    if (!row) throw notFound('agent', id);
    return toAgent(row);
  }
}

import { beforeAll } from 'vitest';
import { AgentRepository } from '../../../src/domain/nodes/agent-repository.ts';
import { EventStormRepository } from '../../../src/domain/nodes/event-storm-repository.ts';
import { FunctionModelRepository } from '../../../src/domain/nodes/function-model-repository.ts';
import { KnowledgeBaseRepository } from '../../../src/domain/nodes/knowledge-base-repository.ts';
import { LinkRepository } from '../../../src/domain/nodes/link-repository.ts';
import { VectorDatabase } from '../../../src/domain/embeddings/vector-database.ts';
import { NodeVectors } from '../../../src/domain/nodes/node-vectors.ts';
import { NodeQueries } from '../../../src/domain/nodes/node-queries.ts';
import { SpindleRepository } from '../../../src/domain/nodes/spindle-repository.ts';
import { UnifiedNodeService } from '../../../src/domain/nodes/unified-node-service.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase } from '../../services/database.ts';

/** The repositories and services of nodes on a database of the file's own, readable from `beforeAll` on. */
export const useNodes = () => {
  const database = useDatabase();
  const ids = { here: '', there: '' };
  const newWorkspace = async (): Promise<string> => {
    const workspaces = new WorkspaceService({ postgres: database.postgres, log: createLog({ level: 'silent' }) });
    return (await workspaces.create({ name: `w${Math.random().toString(36).slice(2)}` })).id;
  };
  beforeAll(async () => {
    ids.here = await newWorkspace();
    ids.there = await newWorkspace();
  });
  return {
    database,
    newWorkspace,
    get here() {
      return ids.here;
    },
    get there() {
      return ids.there;
    },
    get models() {
      return new FunctionModelRepository(database.postgres.db);
    },
    get sops() {
      return new KnowledgeBaseRepository(database.postgres.db, this.vectors);
    },
    get vectors() {
      return new NodeVectors(new VectorDatabase(database.postgres, createLog({ level: 'silent' })));
    },
    get storms() {
      return new EventStormRepository(database.postgres.db);
    },
    get spindles() {
      return new SpindleRepository(database.postgres.db);
    },
    get links() {
      return new LinkRepository(database.postgres.db);
    },
    get agents() {
      return new AgentRepository(database.postgres.db);
    },
    get service() {
      return new UnifiedNodeService(database.postgres);
    },
    get queries() {
      return new NodeQueries(database.postgres);
    },
  };
};

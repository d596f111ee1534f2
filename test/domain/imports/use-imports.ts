import { createLog } from '../../../src/lib/log/create-log.ts';
import { importIntoWorkspace, type WorkspaceImportSummary } from '../../../src/domain/imports/import-into-workspace.ts';
import { KnowledgeService } from '../../../src/domain/knowledge/service.ts';
import type { Knowledge } from '../../../src/domain/knowledge/types.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import type { TestDatabase } from '../../services/database.ts';

export interface TestImports {
  readonly services: { readonly workspaces: WorkspaceService; readonly knowledge: KnowledgeService };
  importAt(
    path: string,
    options?: { readonly workspace?: string; readonly idPrefix?: string; readonly signal?: AbortSignal },
  ): Promise<WorkspaceImportSummary>;
  /** The workspace's documents by their source ids. */
  documents(workspace?: string): Promise<ReadonlyMap<string, Knowledge>>;
}

/** Imports into a real database, workspace `trial` unless said otherwise. */
export const useImports = (database: TestDatabase): TestImports => {
  const log = createLog({ level: 'silent' });
  const services = {
    get workspaces() {
      return new WorkspaceService({ postgres: database.postgres, log });
    },
    get knowledge() {
      return new KnowledgeService({ postgres: database.postgres, log });
    },
  };
  return {
    services,
    importAt: (path, { workspace = 'trial', ...options } = {}) =>
      importIntoWorkspace(services, path, { workspace, actor: 'test', ...options }),
    documents: async (workspace = 'trial') => {
      const found = await services.workspaces.find(workspace);
      if (!found) return new Map();
      const all = await services.knowledge.findMany(found.id, {}, { limit: 1_000 });
      return new Map(all.map((document) => [document.sourceId ?? '', document]));
    },
  };
};

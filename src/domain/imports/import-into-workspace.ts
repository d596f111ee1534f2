import { notFound } from '../../lib/errors/app-error.ts';
import { parseOrThrow } from '../../lib/errors/zod-faults.ts';
import { isUuid } from '../../lib/text/uuid.ts';
import type { KnowledgeService } from '../knowledge/service.ts';
import { workspaceName } from '../workspaces/input.ts';
import type { WorkspaceService } from '../workspaces/service.ts';
import type { Workspace } from '../workspaces/types.ts';
import { DocumentBatch, type DocumentWriter } from './document-batch.ts';
import { importPath, type ImportOptions } from './import-path.ts';
import type { ImportSummary } from './import-summary.ts';
import { readInstalledPackages } from './installed-packages.ts';

export interface ImportServices {
  readonly workspaces: Pick<WorkspaceService, 'ensure' | 'find'>;
  readonly knowledge: Pick<KnowledgeService, 'upsertParsed'>;
}

export interface WorkspaceImportOptions extends Omit<ImportOptions, 'write'> {
  /** Name or id; a new name's workspace is made with its first document. */
  readonly workspace: string;
  readonly actor: string;
}

export interface WorkspaceImportSummary extends ImportSummary {
  /** Undefined when there was nothing to import, and no such workspace. */
  readonly workspace: Pick<Workspace, 'id' | 'name'> | undefined;
}

/** @throws AppError NOT_FOUND for the id of no workspace, VALIDATION_ERROR for what cannot be a name. */
const findOrCheck = async ({ workspaces }: ImportServices, reference: string): Promise<Workspace | undefined> => {
  const found = await workspaces.find(reference);
  if (found) return found;
  if (isUuid(reference)) throw notFound('workspace', reference);
  parseOrThrow(workspaceName, reference, 'the workspace');
  return undefined;
};

/**
 * Imports a file or folder into a workspace; see {@link importPath}. Nothing is made when the path or the workspace's name
 * cannot be used.
 * @throws AppError as importPath, and NOT_FOUND or VALIDATION_ERROR for the workspace.
 */
export const importIntoWorkspace = async (
  services: ImportServices,
  path: string,
  { workspace: reference, actor, ...options }: WorkspaceImportOptions,
): Promise<WorkspaceImportSummary> => {
  let workspace = await findOrCheck(services, reference);
  const write: DocumentWriter = async (documents) => {
    workspace ??= await services.workspaces.ensure(reference);
    return services.knowledge.upsertParsed(workspace.id, documents, { actor, changeSummary: 'imported' });
  };
  const summary = await importPath(path, { ...options, write });
  return { workspace: workspace && { id: workspace.id, name: workspace.name }, ...summary };
};

export interface PackagesImportOptions {
  readonly nodeModules: string;
  readonly workspace: string;
  readonly actor: string;
  /** Called with the number of documents read so far. */
  readonly onProgress?: ((documents: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Imports the README of every package installed in a `node_modules` folder; see {@link readInstalledPackages}.
 * @throws AppError of the workspace and the database; the signal's reason.
 */
export const importInstalledPackages = async (
  services: ImportServices,
  { nodeModules, workspace: reference, actor, onProgress, signal }: PackagesImportOptions,
): Promise<WorkspaceImportSummary> => {
  const workspace = await services.workspaces.ensure(reference);
  const faults: ImportSummary['faults'][number][] = [];
  const write: DocumentWriter = (documents) =>
    services.knowledge.upsertParsed(workspace.id, documents, { actor, changeSummary: 'imported' });
  const batch = new DocumentBatch(write, (fault) => faults.push(fault));
  let read = 0;
  try {
    for await (const document of readInstalledPackages(nodeModules)) {
      signal?.throwIfAborted();
      read += 1;
      await batch.add({ file: document.title, line: 1, document });
      onProgress?.(read);
    }
    await batch.flush();
  } finally {
    await batch.settle();
  }
  return {
    workspace: { id: workspace.id, name: workspace.name },
    files: { imported: read - faults.length, refused: faults.length, empty: 0, unknown: 0, skipped: 0 },
    documents: batch.counts,
    faultsTotal: faults.length,
    faults,
  };
};

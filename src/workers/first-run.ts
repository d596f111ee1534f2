import { findNodeModules } from '../domain/imports/installed-packages.ts';
import {
  importInstalledPackages,
  importIntoWorkspace,
  type WorkspaceImportSummary,
} from '../domain/imports/import-into-workspace.ts';
import { embedDocument } from '../jobs/embeddings/contract.ts';
import { durationText } from '../lib/terminal/duration-text.ts';
import { rankedList } from '../lib/terminal/ranked-list.ts';
import { table } from '../lib/terminal/table.ts';
import type { Platform } from '../platform.ts';
import { awaitJobs } from '../queues/jobs/await-jobs.ts';
import { jobStatistics, type JobStatistics } from '../queues/jobs/job-statistics.ts';
import { once } from '../queues/once.ts';

const packagesWorkspace = 'packages';
const folderWorkspace = 'documents';
const doneKey = 'first-run.packages';
const embeddingTimeoutMs = 600_000;
const packageQueries = ['Redis based job queue', 'parse command line arguments'];
const hitsShown = 3;

export interface FirstRunOptions {
  /** A folder of documents to import, instead of the installed packages' READMEs. */
  readonly importFolder?: string | undefined;
  /** Report also when there was nothing left to import. */
  readonly always?: boolean | undefined;
  readonly signal: AbortSignal;
  /** Prints a paragraph for a person. */
  readonly write: (text: string) => void;
}

const isDone = async ({ postgres }: Platform): Promise<boolean> => {
  const { rows } = await postgres.query('SELECT FROM treadle.once_keys WHERE key = $1', [doneKey]);
  return rows.length > 0;
};

const importPackages = async (platform: Platform, signal: AbortSignal): Promise<WorkspaceImportSummary | undefined> => {
  const nodeModules = await findNodeModules(import.meta.dirname);
  if (nodeModules === undefined) return undefined;
  return importInstalledPackages(platform, { nodeModules, workspace: packagesWorkspace, actor: 'first-run', signal });
};

const importGiven = (
  platform: Platform,
  { importFolder, signal }: FirstRunOptions,
): Promise<WorkspaceImportSummary | undefined> =>
  importFolder === undefined
    ? importPackages(platform, signal)
    : importIntoWorkspace(platform, importFolder, { workspace: folderWorkspace, actor: 'first-run', signal });

const importText = ({ workspace, files, documents, faults }: WorkspaceImportSummary, ms: number): string => {
  const { inserted, updated, unchanged } = documents;
  return [
    `Imported ${inserted + updated + unchanged} documents into the workspace ${workspace?.name ?? '-'} in ${durationText(ms)}: ` +
      `${inserted} new, ${updated} changed, ${unchanged} unchanged.`,
    ...(files.refused > 0 ? [`Refused ${files.refused} files:`] : []),
    ...faults.map(({ file, line, message }) => `  ${file}${line === undefined ? '' : `:${line}`} ${message}`),
  ].join('\n');
};

const jobsText = (jobs: readonly JobStatistics[]): string =>
  table(
    jobs,
    [
      { title: 'job', value: (job) => job.name },
      { title: 'completed', value: (job) => job.completed, align: 'right' },
      { title: 'failed attempts', value: (job) => job.failedAttempts, align: 'right' },
      { title: 'dead', value: (job) => job.dead, align: 'right' },
      { title: 'open', value: (job) => job.open, align: 'right' },
      { title: 'p50', value: (job) => msText(job.durationMs.p50), align: 'right' },
      { title: 'p99', value: (job) => msText(job.durationMs.p99), align: 'right' },
    ],
    'No jobs ran.',
  );
const msText = (ms: number | null): string => (ms === null ? '-' : durationText(ms));

/** Searches that have an answer in any installation; of a folder, for the title of a document in it. */
const queriesFor = async (
  { knowledge }: Platform,
  workspaceId: string,
  importFolder: string | undefined,
): Promise<readonly string[]> => {
  if (importFolder === undefined) return packageQueries;
  const [latest] = await knowledge.findMany(workspaceId, {}, { limit: 1 });
  return latest ? [latest.title] : [];
};

const searchText = async ({ search }: Platform, workspaceId: string, query: string): Promise<string> => {
  const { hits, tookMs } = await search.search({ workspaceId, query, mode: 'hybrid', limit: hitsShown });
  const found = rankedList(hits, { color: process.stdout.isTTY });
  return `Search "${query}", by words and by meaning, ${durationText(tookMs)}:\n${found}`;
};

/**
 * The first run: imports the READMEs of the installed packages into the workspace `packages` (or a folder into
 * `documents`), waits until the workers have embedded them, and prints what ran and what a search finds. Later runs
 * import the packages no more. Answers whether everything was imported and embedded.
 * @throws AppError of the import and the database; the signal's reason.
 */
export const firstRun = async (platform: Platform, options: FirstRunOptions): Promise<boolean> => {
  const { postgres } = platform;
  const { importFolder, always = false, signal, write } = options;
  const since = new Date();
  const startedAt = performance.now();
  const skip = importFolder === undefined && (await isDone(platform));
  if (skip && !always) return true;
  const summary = skip ? undefined : await importGiven(platform, options);
  if (summary) write(importText(summary, performance.now() - startedAt));
  const workspace = summary?.workspace ?? (await platform.workspaces.find(packagesWorkspace));
  if (!workspace) return summary === undefined || summary.faultsTotal === 0;

  const { name, queue } = embedDocument;
  const embedding = { name, queue, tenant: workspace.id, since, timeoutMs: embeddingTimeoutMs, signal };
  const embedded = await awaitJobs(postgres, embedding);
  if (summary)
    write(
      `Embedded ${embedded?.completed ?? 0} documents with ${platform.embeddings.model}; ${durationText(performance.now() - startedAt)} in all.`,
    );
  if (summary && importFolder === undefined) await postgres.transaction((tx) => once(tx, doneKey));
  write(jobsText(await jobStatistics(postgres, skip ? {} : { since })));
  for (const query of await queriesFor(platform, workspace.id, importFolder)) {
    write(await searchText(platform, workspace.id, query));
  }
  return (summary?.faultsTotal ?? 0) === 0 && (embedded?.dead ?? 0) === 0;
};

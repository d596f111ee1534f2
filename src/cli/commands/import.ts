import type { WorkspaceImportSummary } from '../../domain/imports/import-into-workspace.ts';
import type { AddCommand } from '../add-command.ts';
import { secondsOption } from '../arguments.ts';
import type { CommandContext } from '../command-context.ts';

interface Options {
  readonly workspace: string;
  readonly prefix?: string;
  readonly wait?: true;
  readonly timeout: number;
}

const help = `
Reads .md and .markdown (front matter in YAML), .txt and .text, .jsonl and .ndjson, .csv and .tsv (with a header), and indexes
of Debian packages (Packages, Packages.gz, .packages, .deb822), all UTF-8.
Fields: title, content, excerpt, tags, author, status (draft, published, archived) and id; others are kept as metadata.
The id is the source's own: importing it again updates the document. Without one it is the path, and in JSONL and CSV the
path and the line. A document may have 8 MiB of content.

A file with a fault is refused as a whole and named with its line; the others are imported, and the exit code is 1.
Hidden files and folders and links inside a folder are passed over.`;

const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

const faultLines = ({ faults, faultsTotal }: WorkspaceImportSummary): readonly string[] => {
  const lines = faults.map(({ file, line, message }) => `  ${file}${line === undefined ? '' : `:${line}`} ${message}`);
  return faultsTotal > faults.length ? [...lines, `  … and ${faultsTotal - faults.length} more`] : lines;
};

const summaryText = ({ workspace, files, documents }: WorkspaceImportSummary): string => {
  const { inserted, updated, unchanged } = documents;
  const total = inserted + updated + unchanged;
  const passedOver = [
    files.empty > 0 ? `${files.empty} empty` : '',
    files.unknown > 0 ? `${files.unknown} of unknown types` : '',
    files.skipped > 0 ? `${files.skipped} hidden or links` : '',
  ].filter(Boolean);
  return [
    `Imported ${plural(total, 'document')} from ${plural(files.imported, 'file')}${workspace === undefined ? '' : ` into ${workspace.name}`}: ` +
      `${inserted} new, ${updated} changed, ${unchanged} unchanged.`,
    ...(passedOver.length > 0 ? [`Passed over: ${passedOver.join(', ')}.`] : []),
    ...(files.refused > 0 ? [`Refused: ${plural(files.refused, 'file')}.`] : []),
  ].join('\n');
};

const runImport = async (
  { platform, output, signal }: CommandContext,
  path: string,
  options: Options,
): Promise<WorkspaceImportSummary> => {
  const services = await platform();
  const { importIntoWorkspace } = await import('../../domain/imports/import-into-workspace.ts');
  const { openProgressBar } = await import('../../lib/terminal/progress-bar.ts');
  const bar = await openProgressBar('Importing', 'files', output);
  let imported = 0;
  try {
    return await importIntoWorkspace(services, path, {
      workspace: options.workspace,
      actor: 'import',
      idPrefix: options.prefix,
      signal,
      onProgress: ({ filesDone, filesFound, documents }) => {
        imported = documents;
        bar.update(filesDone, filesFound, plural(documents, 'document'));
      },
    });
  } finally {
    bar.stop();
    if (signal.aborted) output.note(`Interrupted after ${plural(imported, 'document')}; importing again goes on.`);
  }
};

const waitUntilEmbedded = async (
  { platform, output, signal }: CommandContext,
  workspaceId: string,
  { since, timeoutMs }: { readonly since: Date; readonly timeoutMs: number },
): Promise<{ readonly completed: number; readonly dead: number }> => {
  const { postgres } = await platform();
  const { awaitJobs } = await import('../../queues/jobs/await-jobs.ts');
  const { embedDocument } = await import('../../jobs/embeddings/contract.ts');
  const { openProgressBar } = await import('../../lib/terminal/progress-bar.ts');
  const bar = await openProgressBar('Embedding', 'documents', output);
  const { name, queue } = embedDocument;
  try {
    const onProgress = bar.update;
    const finished = await awaitJobs(postgres, {
      name,
      queue,
      tenant: workspaceId,
      since,
      timeoutMs,
      signal,
      onProgress,
    });
    return { completed: finished?.completed ?? 0, dead: finished?.dead ?? 0 };
  } finally {
    bar.stop();
  }
};

export const addImport: AddCommand = (program, run) => {
  program
    .command('import')
    .description('import documents from a file or a folder: Markdown, text, JSONL, CSV, Debian package indexes')
    .argument('<path>', 'a file, or a folder with everything in it')
    .requiredOption('--workspace <name>', 'the workspace, by name or id; made if there is none of that name')
    .option('--prefix <text>', 'put before the ids of documents that have none of their own')
    .option('--wait', 'wait until what was imported is embedded')
    .addOption(secondsOption('--timeout <seconds>', 'how long to wait', 600))
    .addHelpText('after', help)
    .action(
      run(async (context, path: string, options: Options) => {
        const { output, fail } = context;
        const since = new Date();
        const summary = await runImport(context, path, options);
        if (summary.faultsTotal > 0) {
          fail();
          output.note(['Refused:', ...faultLines(summary)].join('\n'));
        }
        const embeddings =
          options.wait === true && summary.workspace !== undefined
            ? await waitUntilEmbedded(context, summary.workspace.id, { since, timeoutMs: options.timeout })
            : undefined;
        output.result(embeddings === undefined ? summary : { ...summary, embeddings }, () =>
          embeddings === undefined
            ? summaryText(summary)
            : `${summaryText(summary)}\nEmbedded ${plural(embeddings.completed, 'document')}, ${embeddings.dead} failed.`,
        );
        if (embeddings !== undefined && embeddings.dead > 0) fail();
      }),
    );
};

import { Option } from 'commander';
import type { SearchMode, SearchResult } from '../../domain/search/types.ts';
import { durationText } from '../../lib/terminal/duration-text.ts';
import { rankedList } from '../../lib/terminal/ranked-list.ts';
import type { AddCommand } from '../add-command.ts';
import { several, wholeNumber } from '../arguments.ts';

const modes: readonly SearchMode[] = ['keyword', 'semantic', 'hybrid'];
const statuses = ['draft', 'published', 'archived'] as const;

interface Options {
  readonly workspace: string;
  readonly mode: SearchMode;
  readonly tag?: readonly string[];
  readonly status?: (typeof statuses)[number];
  readonly limit: number;
  readonly offset: number;
}

const counted = (total: number): string => (total === 1 ? 'one document' : `${total} documents`);

/** What the total counts: documents that the words match, or in a search by meaning all that may be found. */
const summaries: Readonly<Record<SearchMode, (total: number) => string>> = {
  keyword: (total) => `Found in ${counted(total)}`,
  semantic: (total) => `The closest of ${counted(total)}`,
  hybrid: (total) => `By words in ${counted(total)}, and by meaning`,
};

const resultText = ({ hits, total, tookMs, degraded }: SearchResult, { mode, offset }: Options): string =>
  [
    hits.length === 0 ? 'Nothing was found.' : rankedList(hits, { color: process.stdout.isTTY, from: offset }),
    `${summaries[mode](total)}; ${durationText(tookMs)}.`,
    ...(degraded ? ['By words only: the embedder does not answer.'] : []),
  ].join('\n');

export const addSearch: AddCommand = (program, run) => {
  program
    .command('search')
    .description('search a workspace by words, by meaning, or both')
    .argument('<query>', 'what to look for')
    .requiredOption('--workspace <name>', 'the workspace, by name or id')
    .addOption(new Option('--mode <mode>', 'by words, by meaning, or both').choices(modes).default('hybrid'))
    .option('--tag <tag>', 'with this tag; may be given several times, any of them fits', several)
    .addOption(new Option('--status <status>', 'in this status').choices(statuses))
    .option('--limit <count>', 'at most so many', wholeNumber(1, 100), 10)
    .option('--offset <count>', 'after so many', wholeNumber(0, 9_900), 0)
    .action(
      run(async ({ platform, output }, query: string, options: Options) => {
        const { search, workspaces } = await platform();
        const { id: workspaceId } = await workspaces.get(options.workspace);
        const { mode, tag: tags, status, limit, offset } = options;
        const filters = { tags: tags && [...tags], status: status && [status] };
        const result = await search.search({ workspaceId, query, mode, filters, limit, offset });
        output.result(result, () => resultText(result, options));
      }),
    );
};

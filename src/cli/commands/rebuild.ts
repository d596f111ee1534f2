import { durationText } from '../../lib/terminal/duration-text.ts';
import type { AddCommand } from '../add-command.ts';

interface Options {
  readonly reason: string;
}

export const addRebuild: AddCommand = (program, run) => {
  program
    .command('rebuild')
    .description('build an index of Elasticsearch anew beside the live one, compare it with the tables, and swap them')
    .argument('[index]', 'which one', 'knowledge')
    .option('--reason <text>', 'why, for those who ask later', 'asked for')
    .addHelpText(
      'after',
      `
Searches and writes go on meanwhile, and no search sees fewer documents than before. It needs a running replicator.
Interrupted, the same command goes on where it was.`,
    )
    .action(
      run(async ({ platform, output, signal }, name: string, { reason }: Options) => {
        const { indexes, postgres, keepRefused } = await platform();
        const index = indexes.get(name);
        const { rebuildIndex } = await import('../../domain/search/indexes/rebuild-index.ts');
        const { withIndexLock } = await import('../../domain/search/indexes/index-lock.ts');
        const { openProgressBar } = await import('../../lib/terminal/progress-bar.ts');
        const { indexIsTaken } = await import('../index-is-taken.ts');
        const startedAt = performance.now();
        const bar = await openProgressBar(name, '%', output);
        const rebuilt = await withIndexLock(postgres, name, () =>
          rebuildIndex(index, {
            reason,
            signal,
            onProgress: (fraction, note) => bar.update(Math.floor(fraction * 100), 100, note),
            onFailed: (failed) => keepRefused(name, failed),
          }),
        ).finally(() => bar.stop());
        if (!rebuilt) throw indexIsTaken(name);
        const { done } = rebuilt;
        output.result(done, () =>
          [
            `${done.index} is live, with ${done.documents} documents, after ${durationText(performance.now() - startedAt)}.`,
            ...(done.failed > 0
              ? [`Elasticsearch refused ${done.failed} documents: see treadle jobs list --queue search.`]
              : []),
            ...(done.repaired > 0 ? [`${done.repaired} differed before the swap, and were written again.`] : []),
          ].join('\n'),
        );
      }),
    );
};

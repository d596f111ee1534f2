import type { Verification } from '../../domain/search/indexes/verify-index.ts';
import { table } from '../../lib/terminal/table.ts';
import type { AddCommand } from '../add-command.ts';
import { wholeNumber } from '../arguments.ts';

interface Options {
  readonly repair?: boolean;
  readonly rate?: number;
}

const summaryText = (
  name: string,
  { documents, missing, different, surplus, repaired, unsettled }: Verification,
): string => {
  const differing = missing + different + surplus;
  const found =
    differing === 0
      ? `The index ${name} equals its tables: ${documents} documents.`
      : `The index ${name} differs from its tables in ${differing} of ${documents} documents: ${missing} are missing in it, ${different} have another content, ${surplus} are in it only.`;
  return [
    found,
    ...(repaired > 0 ? [`${repaired} were written again.`] : []),
    ...(unsettled > 0 ? [`${unsettled} changed each time they were looked at, and were not judged.`] : []),
  ].join('\n');
};

const resultText = (name: string, verification: Verification): string =>
  [
    summaryText(name, verification),
    ...(verification.found.length === 0
      ? []
      : [
          '',
          table(
            verification.found,
            [
              { title: 'document', value: ({ id }) => id },
              { title: 'workspace', value: ({ workspaceId }) => workspaceId || null },
              { title: 'is', value: ({ difference }) => difference },
              { title: 'fields', value: ({ fields }) => fields.join(' ') || null, maxWidth: 60 },
              { title: 'repaired', value: ({ repaired }) => (repaired ? 'yes' : 'no') },
            ],
            '',
          ),
        ]),
  ].join('\n');

export const addVerify: AddCommand = (program, run) => {
  program
    .command('verify')
    .description('compare an index of Elasticsearch with its tables, document by document; exit code 1 if it differs')
    .argument('[index]', 'which one', 'knowledge')
    .option('--repair', 'write again what differs')
    .option('--rate <count>', 'so many documents a second at most', wholeNumber(1, 1_000_000))
    .addHelpText(
      'after',
      `
What is on its way does not count: a document that differs is looked at again once the index was offered everything that is
committed. It needs a running replicator. The same is done every hour by maintenance.verify-index, which repairs.`,
    )
    .action(
      run(async ({ platform, output, signal, fail }, name: string, { repair = false, rate }: Options) => {
        const { indexes, postgres } = await platform();
        const index = indexes.get(name);
        const { verifyIndex } = await import('../../domain/search/indexes/verify-index.ts');
        const { withIndexLock } = await import('../../domain/search/indexes/index-lock.ts');
        const { openProgressBar } = await import('../../lib/terminal/progress-bar.ts');
        const { indexIsTaken } = await import('../index-is-taken.ts');
        const total = await index.source.count(index.db);
        const bar = await openProgressBar(name, 'documents', output);
        const verified = await withIndexLock(postgres, name, () =>
          verifyIndex(index, {
            alias: index.source.definition.names.alias,
            signal,
            repair,
            ratePerSecond: rate,
            onProgress: (documents) => bar.update(documents, Math.max(total, documents)),
          }),
        ).finally(() => bar.stop());
        if (!verified) throw indexIsTaken(name);
        const { done } = verified;
        const differing = done.missing + done.different + done.surplus;
        await index.states.noteVerification(name, differing);
        output.result({ index: name, ...done }, () => resultText(name, done));
        if (differing > 0) fail();
      }),
    );
};

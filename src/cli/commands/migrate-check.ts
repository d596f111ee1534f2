import type { Command } from 'commander';
import type { LockedTable } from '../../lib/migrations/ddl/check-migration.ts';
import type { Queryable } from '../../lib/postgres/queryable.ts';
import type { RunCommand } from '../add-command.ts';
import type { CommandContext } from '../command-context.ts';

interface Options {
  readonly offline?: boolean;
}

interface CheckedFile {
  readonly file: string;
  readonly hazards: readonly LockedTable[];
}

const readSql = async (file: string): Promise<string> => {
  const [{ readFile }, { codeOf }, { validationError }] = await Promise.all([
    import('node:fs/promises'),
    import('../../lib/errors/classify.ts'),
    import('../../lib/errors/app-error.ts'),
  ]);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw validationError('the migration', [{ path: file, message: `cannot be read (${codeOf(error)})` }]);
  }
};

/** Runs `fn` with a connection that knows how large the tables are; without one when none is to be asked. */
const withSizes = async <T>(
  { database }: CommandContext,
  offline: boolean,
  fn: (db: Queryable | undefined) => Promise<T>,
): Promise<T> => {
  if (offline) return fn(undefined);
  const { directUrl } = await database();
  const { connectDirect } = await import('../../lib/postgres/pool.ts');
  const client = await connectDirect(directUrl, 'treadle:check');
  try {
    return await fn(client);
  } finally {
    await client.end();
  }
};

const help = `
Refused are statements that write a large table anew or lock it for long: another column type, a volatile default, SET NOT NULL
without a valid check, constraints that are not added NOT VALID, indexes that are not built CONCURRENTLY, VACUUM FULL, CLUSTER,
LOCK TABLE. Tables that the file makes itself don't count, nor those with fewer than 100,000 rows in the database, nor what
stands below a comment -- Safe: <reason>. Of a file with a section -- Down Migration only what stands before it is looked at.`;

/** `treadle migrate check`. */
export const addMigrateCheck = (migrate: Command, run: RunCommand): void => {
  migrate
    .command('check')
    .description('look through migrations of your own for what would lock a large table; runs nothing')
    .argument('<files...>', 'files of SQL')
    .option('--offline', 'ask no database how large the tables are: all count as large')
    .addHelpText('after', help)
    .action(
      run(async (context, files: readonly string[], { offline = false }: Options) => {
        const { output, fail } = context;
        const texts = await Promise.all(files.map(readSql));
        const { checkMigration, hazardText } = await import('../../lib/migrations/ddl/check-migration.ts');
        const items = await withSizes(context, offline, async (db) => {
          const checked: CheckedFile[] = [];
          for (const [index, file] of files.entries())
            checked.push({ file, hazards: await checkMigration(texts[index] ?? '', db) });
          return checked;
        });
        const lines = items.flatMap(({ file, hazards }) =>
          hazards.map((hazard) => `${file}:${hazard.line} ${hazardText(hazard)}`),
        );
        const hint = 'What does no harm where it stands says so on the line above: -- Safe: <reason>';
        output.result({ items }, () =>
          lines.length === 0 ? 'Nothing here locks a large table.' : [...lines, hint].join('\n'),
        );
        if (lines.length > 0) fail();
      }),
    );
};

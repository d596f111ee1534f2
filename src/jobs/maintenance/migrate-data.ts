import { applyDataMigration } from '../../lib/migrations/data/apply-data-migration.ts';
import { chooseDataMigrations } from '../../lib/migrations/data/choose-data-migrations.ts';
import type { DataMigrationProgress, RunContext, RunEnd } from '../../lib/migrations/data/run-steps.ts';
import { takeBackDataMigration } from '../../lib/migrations/data/take-back-data-migration.ts';
import type { Platform } from '../../platform.ts';
import type { PayloadOf, ResultOf } from '../../queues/define-job.ts';
import type { migrate } from './contract.ts';

interface Control {
  readonly signal: AbortSignal;
  readonly progress: (fraction: number, note?: string) => void;
}

type Migrated = ResultOf<typeof migrate>['migrations'];

const resultOf = ({ record: { name, state, changed } }: RunEnd): Migrated[number] => ({ name, state, changed });

const noteOf = ({ name, done, total }: DataMigrationProgress): string =>
  `${name}: ${done}${total === undefined ? '' : ` of ${total}`}`;

/** Runs the data migrations that the payload means, one after another, and shows how far they are. */
export const migrateData = async (
  payload: PayloadOf<typeof migrate>,
  { postgres, app }: Pick<Platform, 'postgres' | 'app'>,
  { signal, progress }: Control,
): Promise<Migrated> => {
  const chosen = chooseDataMigrations(app.dataMigrations, payload.name);
  const context = (before: number): RunContext => ({
    postgres,
    signal,
    onProgress: (now) => {
      const { done, total } = now;
      const share = total === undefined || total === 0 ? 0 : Math.min(done / total, 1);
      progress((before + share) / chosen.length, noteOf(now));
    },
  });
  const migrated: Migrated = [];
  for (const [index, migration] of chosen.entries()) {
    if (payload.direction === 'up') migrated.push(resultOf(await applyDataMigration(migration, context(index))));
    else {
      const end = await takeBackDataMigration(migration, context(index));
      migrated.push({ ...resultOf(end), undone: end.done });
    }
  }
  return migrated;
};

import { parseArgs } from 'node:util';
import { ElasticsearchServer } from '../../test/services/elasticsearch-server.ts';
import { findElasticsearchProgram, missingElasticsearch } from '../../test/services/elasticsearch-program.ts';
import { runOracle, type OracleResult } from './run-oracle.ts';
import { fullSync, shortSync } from './sizes.ts';
import { openWorld } from './world.ts';

const usage = `usage: npm run sync-oracle -- [--seed N] [--short] [--standby | --no-standby]
  --seed N      repeats a run: the same writes, and the same faults in the same order
  --short       what CI runs: ${shortSync.keys} keys and each fault once, instead of ${fullSync.keys} and ${fullSync.rounds} times
  --standby     only with a standby that commits wait for and that is held up; --no-standby only without; both by default`;

const readSettings = (args: readonly string[]) => {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: { seed: { type: 'string' }, short: { type: 'boolean', default: false }, standby: { type: 'boolean' } },
  });
  if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed)) throw new Error('--seed must be a whole number');
  return {
    size: values.short ? shortSync : fullSync,
    short: values.short,
    seed: values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed),
    standbys: values.standby === undefined ? [false, true] : [values.standby],
  };
};

const report = (withStandby: boolean, result: OracleResult): void => {
  const { keys, units, failed, documents, tombstones, faults, samples, breaches } = result;
  console.log(
    `${breaches.length === 0 ? 'ok    ' : 'BREACH'} ${withStandby ? 'with a delayed standby' : 'without a standby'}: ${keys} keys in ${units} units of work (${failed} failed), ${faults.length} faults, ` +
      `${result.seconds.toFixed(1)} s, current after ${result.secondsToCurrent.toFixed(1)} s; ${documents} documents and ${tombstones} tombstones compared, ${samples} looks at positions`,
  );
  for (const { rule, ids, count } of breaches) console.log(`  ${rule} (${count}): ${ids.join(', ')}`);
};

const run = async ({ seed, size, short, standbys }: ReturnType<typeof readSettings>): Promise<number> => {
  console.log(`sync-oracle: seed ${seed}`);
  const program = await findElasticsearchProgram();
  if (!program) throw new Error(`sync-oracle: there is ${missingElasticsearch}`);
  const elasticsearch = await ElasticsearchServer.start(program, { heapMegabytes: 1_024 });
  let failed = 0;
  try {
    for (const withStandby of standbys) {
      const world = await openWorld({ elasticsearch, withStandby });
      try {
        const result = await runOracle(world, { ...size, seed, onNote: (note) => console.log(`  ${note}`) });
        report(withStandby, result);
        if (result.breaches.length > 0) {
          failed += 1;
          for (const line of await world.told()) console.log(`  ${line}`);
          console.log(
            `  again: npm run sync-oracle -- --seed ${seed} ${withStandby ? '--standby' : '--no-standby'}${short ? ' --short' : ''}`,
          );
        }
      } finally {
        await world.close();
      }
    }
  } finally {
    await elasticsearch.stop();
  }
  return failed;
};

try {
  const failed = await run(readSettings(process.argv.slice(2)));
  console.log(failed === 0 ? 'sync-oracle: the indexes equal their tables' : `sync-oracle: ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
} catch (error) {
  console.error(error, `\n\n${usage}`);
  process.exitCode = 2;
}

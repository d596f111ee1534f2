import { parseArgs } from 'node:util';
import { loadBench, names, type BenchOptions } from './benchmarks.ts';

const read = (): { readonly name: string; readonly options: BenchOptions } | undefined => {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { short: { type: 'boolean', default: false }, jobs: { type: 'string' }, backend: { type: 'string' } },
    });
    const jobs = values.jobs === undefined ? undefined : Number(values.jobs);
    const backend = (['redis', 'postgres'] as const).find((known) => known === values.backend);
    const [name = '', ...rest] = positionals;
    if (backend !== values.backend) return undefined;
    if (rest.length > 0 || (jobs !== undefined && !(Number.isInteger(jobs) && jobs > 0))) return undefined;
    return { name, options: { short: values.short, jobs, backend } };
  } catch {
    return undefined;
  }
};

const asked = read();
const bench = asked && (await loadBench(asked.name));
if (asked && bench) {
  await bench(asked.options);
  // A worker that was abandoned on purpose may still hold a connection.
  process.exit(0);
} else {
  console.error(
    `usage: npm run bench -- <name> [--short] [--jobs <count>] [--backend redis|postgres], name one of: ${names.join(', ')}`,
  );
  process.exitCode = 2;
}

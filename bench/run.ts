import { loadBench, names } from './benchmarks.ts';

const [name = ''] = process.argv.slice(2);
const bench = await loadBench(name);
if (bench) {
  await bench();
  // A worker that was abandoned on purpose may still hold a connection.
  process.exit(0);
} else {
  console.error(`usage: npm run bench -- <name>, one of: ${names.join(', ')}`);
  process.exitCode = 2;
}

import { parseArgs } from 'node:util';
import { openApp, type ChaosApp } from './app/open-app.ts';
import { cases } from './cases.ts';
import { runCase, type CaseResult } from './run-case.ts';
import { fullRun, shortRun, type Size } from './sizes.ts';
import { startServers, type Backend, type ChaosServers } from './servers.ts';

const backends = ['redis', 'postgres'] as const;

const usage = `usage: npm run chaos -- [--seed N] [--jobs N] [--case NAME]... [--backend redis|postgres]... [--short]
  --seed N     repeats a run: the same jobs, and the same faults at the same shares of the work
  --jobs N     jobs a case; ${fullRun.jobs}, or ${shortRun.jobs} with --short
  --case NAME  one of: ${cases.map(({ name }) => name).join(', ')}; may be given several times, all by default
  --short      what CI runs: few jobs, locks of a second, two workers`;

interface Settings extends Size {
  readonly seed: number;
  readonly backends: readonly Backend[];
  readonly names: readonly string[];
}

const wholeNumber = (name: string, text: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} must be a whole number, and is ${JSON.stringify(text)}`);
  return Number(text);
};

/** @throws Error naming the option that is wrong. */
const readSettings = (args: readonly string[]): Settings => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      jobs: { type: 'string' },
      case: { type: 'string', multiple: true },
      backend: { type: 'string', multiple: true },
      short: { type: 'boolean', default: false },
    },
  });
  const known = cases.map(({ name }) => name);
  const unknown = values.case?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--case ${unknown}: there is no such case`);
  const wanted = values.backend ?? backends;
  const stranger = wanted.find((name) => !(backends as readonly string[]).includes(name));
  if (stranger !== undefined) throw new Error(`--backend ${stranger}: there is no such backend`);
  const size = values.short ? shortRun : fullRun;
  return {
    ...size,
    seed: values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : wholeNumber('seed', values.seed),
    jobs: values.jobs === undefined ? size.jobs : wholeNumber('jobs', values.jobs),
    names: values.case ?? known,
    backends: backends.filter((name) => wanted.includes(name)),
  };
};

const report = (result: CaseResult): void => {
  const {
    case: name,
    backend,
    jobs,
    dead,
    cancelled,
    repeatedRuns,
    extraAttempts,
    refused,
    reconciled,
    breaches,
  } = result;
  console.log(
    `${breaches.length === 0 ? 'ok    ' : 'BREACH'} ${name} on ${backend}: ${jobs} jobs in ${result.seconds.toFixed(1)} s, quiet ${result.secondsToQuiet.toFixed(1)} s after the last fault; ` +
      `${dead} dead letters, ${cancelled} cancelled, ${repeatedRuns} runs repeated, ${refused} late results refused, ${reconciled} times reconciled, ${extraAttempts} extra attempts`,
  );
  for (const { rule, ids, count } of breaches) console.log(`  ${rule} (${count}): ${ids.join(', ')}`);
  console.log(JSON.stringify({ chaos: name, ...result }));
};

/** Runs the cases of one backend, one after another on one app; after a breach the next gets a new one. Answers how many failed. */
const runBackend = async (servers: ChaosServers, backend: Backend, settings: Settings): Promise<number> => {
  let app: ChaosApp | undefined;
  let failed = 0;
  try {
    for (const chaosCase of cases) {
      if (!chaosCase.backends.includes(backend) || !settings.names.includes(chaosCase.name)) continue;
      app ??= await openApp(servers, { backend, ...settings });
      const result = await runCase(app, chaosCase, settings);
      report(result);
      if (result.breaches.length === 0) continue;
      failed += 1;
      console.log(
        `  again: npm run chaos -- --seed ${settings.seed} --jobs ${settings.jobs} --case ${chaosCase.name} --backend ${backend}${settings.lockMs === shortRun.lockMs ? ' --short' : ''}`,
      );
      await app.close();
      app = undefined;
    }
    const unruly = (await app?.processes.endAll()) ?? [];
    if (unruly.length > 0) console.log(`BREACH did not end in order on ${backend}: ${unruly.join(', ')}`);
    return failed + (unruly.length > 0 ? 1 : 0);
  } finally {
    await app?.close();
  }
};

const run = async (settings: Settings): Promise<number> => {
  console.log(`chaos: seed ${settings.seed}, ${settings.jobs} jobs a case, locks of ${settings.lockMs} ms`);
  const servers = await startServers();
  let failed = 0;
  try {
    for (const backend of settings.backends) {
      if (backend === 'redis' && !servers.redis) {
        console.log('chaos: no redis-server on the path: its cases are left out');
        failed += 1;
      } else failed += await runBackend(servers, backend, settings);
    }
  } catch (error) {
    failed += 1;
    throw error;
  } finally {
    if (failed > 0) console.log(`chaos: the logs of the app's processes are in ${servers.folder}`);
    await servers.close(failed > 0);
  }
  return failed;
};

try {
  const failed = await run(readSettings(process.argv.slice(2)));
  console.log(failed === 0 ? 'chaos: nothing lost, nothing doubled' : `chaos: ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? `${error.message}\n\n${usage}` : error);
  process.exitCode = 2;
}

import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const treadle = new URL('../../../src/treadle.ts', import.meta.url).href;
const zod = import.meta.resolve('zod');
const head = `import { completed, defineConsumer, defineJob, defineJobs, defineQueue, defineSaga, handle } from '${treadle}'; import { z } from '${zod}';
const job = (name, queue = 'default') => defineJob({ name, queue, payload: z.object({}) });
const saga = (name) => defineSaga({ name, input: z.object({}), steps: [{ name: 'only', execute: async () => null }] });
const consumer = (name) => defineConsumer({ name, types: ['*'], handle: () => null });
const work = (contract) => handle(contract, async () => completed(null));\n`;

/** What each module is, and what is said of it; the text after the variable and the module's name. */
const refused: Readonly<Record<string, readonly [source: string, message: string | RegExp]>> = {
  './syntax.ts': ['const jobs = ;', 'has a syntax error: Expression expected (syntax.ts:1)'],
  './enumerated.ts': ['enum Colour { red }', /^has a syntax error: TypeScript enum is not supported/],
  './throws.ts': ['\nthrow new Error("no key was given");', 'throws while it loads: no key was given (throws.ts:2)'],
  './throws-text.ts': ['throw "no";', 'throws something that is not an Error while it loads'],
  './needs-more.ts': ['import "a-package-nobody-has";', /^Cannot find package 'a-package-nobody-has'/],
  './empty.ts': ['', 'brings no contracts, handlers, queues, schedules, sagas, consumers or data migrations'],
  './named.ts': [
    'export const jobs = {}, queue = 1;',
    'has no default export (it exports jobs, queue): write export default defineJobs({ handlers: [...] })',
  ],
  './number.ts': ['export default 5;', /^has another default export: write export default defineJobs/],
  './misspelt.ts': [
    'export default { handler: [] };',
    'the default export is not what defineJobs() answers: the jobs: handler: is not a known field',
  ],
  './plain-handler.ts': [
    `${head}export default { handlers: [work(job('a.b')), async () => {}], contracts: [{ name: 'a.c' }] };`,
    'the default export is not what defineJobs() answers: the jobs: contracts[0]: is not what defineJob() answers; handlers[1]: is not what handle() or handleBatch() answers',
  ],
  './circular.ts': [
    `${head}export default defineJobs({ handlers: [undefined] });`,
    /^throws while it loads: the jobs: handlers\[0\]: is not what handle\(\) or handleBatch\(\) answers \(circular\.ts:\d\)$/,
  ],
  './bad-contract.ts': [
    `${head}export default defineJobs({ contracts: [job('Shouting')] });`,
    /^throws while it loads: the job "Shouting": name: must look like area\.do-something/,
  ],
  './same-name.ts': [
    `${head}export default defineJobs({ contracts: [job('a.b')], handlers: [work(job('a.b'))] });`,
    'the job a.b is defined twice',
  ],
  './two-handlers.ts': [
    `${head}const one = job('a.b'); export default defineJobs({ handlers: [work(one), work(one)] });`,
    'the job a.b has two handlers',
  ],
  './own-job.ts': [
    `${head}export default defineJobs({ contracts: [job('embeddings.backfill')] });`,
    "the job embeddings.backfill is one of Treadle's own: choose another name",
  ],
  './own-queue.ts': [
    `${head}export default defineJobs({ queues: [defineQueue({ name: 'default', concurrency: 5 })] });`,
    "the queue default is one of Treadle's own: choose another name",
  ],
  './bad-queue.ts': [
    `${head}export default defineJobs({ queues: [defineQueue({ name: 'Mail Queue' })] });`,
    /^throws while it loads: the queue "Mail Queue": name: must be lower case words/,
  ],
  './no-queue.ts': [
    `${head}export default defineJobs({ contracts: [job('a.b', 'mail')] });`,
    'the job a.b names the queue mail, which is not defined',
  ],
  './bad-schedule.ts': [
    `${head}export default defineJobs({ schedules: [{ name: 'a', jobName: 'a.b', cron: '0 25 * * *', timeZone: 'UTC' }] });`,
    /^the schedule "a": cron: .*; jobName: there is no such job$/,
  ],
  './own-schedule.ts': [
    `${head}export default defineJobs({ contracts: [job('a.b')], schedules: [{ name: 'maintenance.prune', jobName: 'a.b', cron: '0 2 * * *', timeZone: 'UTC' }] });`,
    "the schedule maintenance.prune is one of Treadle's own: choose another name",
  ],
  './plain-saga.ts': [
    "export default { sagas: [{ name: 'orders.place', steps: [] }] };",
    'the default export is not what defineJobs() answers: the jobs: sagas[0]: is not what defineSaga() answers',
  ],
  './bad-saga.ts': [
    `${head}export default defineJobs({ sagas: [saga('Place Order')] });`,
    /^throws while it loads: the saga "Place Order": name: must be lower case words/,
  ],
  './same-saga.ts': [
    `${head}export default defineJobs({ sagas: [saga('orders.place'), saga('orders.place')] });`,
    'the saga orders.place is defined twice',
  ],
  './plain-consumer.ts': [
    "export default { consumers: [{ name: 'mail', types: ['*'] }] };",
    'the default export is not what defineJobs() answers: the jobs: consumers[0]: is not what defineConsumer() answers',
  ],
  './same-consumer.ts': [
    `${head}export default defineJobs({ consumers: [consumer('mail'), consumer('mail')] });`,
    'the consumer mail is defined twice',
  ],
  './no-such-file.ts': ['-', /^there is no file .*no-such-file\.ts$/],
  '.': ['-', 'is not a file: name the module in it'],
  'no-such-package/jobs': ['-', /^Cannot find package 'no-such-package'/],
  'stripped/jobs': ['-', 'is TypeScript in node_modules, where Node runs JavaScript only: build it first'],
};

const shared = `${head}const contract = job('app.shared', 'mail'); export { contract };
export default defineJobs({ contracts: [contract], queues: [defineQueue({ name: 'mail' })] });`;
const accepted: Readonly<Record<string, string>> = {
  'shared.ts': shared,
  'handles.ts': `${head}import { contract } from './shared.ts'; export default defineJobs({ handlers: [work(contract)],
    schedules: [{ name: 'app.nightly', jobName: 'app.shared', cron: '0 2 * * *', timeZone: 'UTC' }] });`,
  'again.ts': `${head}export default defineJobs({ contracts: [job('app.shared')] });`,
  'sagas.ts': `${head}export default defineJobs({ sagas: [saga('orders.place')] });`,
  'consumers.ts': `${head}export default defineJobs({ consumers: [consumer('mail')] });`,
  'plain.cjs': `Object.defineProperty(exports, '__esModule', { value: true }); exports.default = { queues: [{ name: 'mail', transport: 'bullmq', concurrency: 1, lockMs: 5000 }] };`,
  'node_modules/@acme/jobs/package.json': '{ "type": "module", "exports": { "./mail": { "import": "./mail.js" } } }',
  'node_modules/@acme/jobs/mail.js': shared,
  'node_modules/stripped/package.json': '{ "type": "module", "exports": { "./jobs": "./jobs.ts" } }',
  'node_modules/stripped/jobs.ts': 'export default {};',
};

let folder = '';
const write = async (name: string, text: string): Promise<void> => {
  await fs.mkdir(path.dirname(path.join(folder, name)), { recursive: true });
  await fs.writeFile(path.join(folder, name), text);
};

/** What a process of Treadle makes of each value of TREADLE_JOBS. */
const loadEach = async (values: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
  const script = path.join(import.meta.dirname, 'load-each.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...values], { cwd: folder });
  return stdout
    .trim()
    .split('\n')
    .map((line): Record<string, unknown> => JSON.parse(line));
};

beforeAll(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-jobs-'));
  for (const [name, [source]] of Object.entries(refused)) if (source !== '-') await write(name, source);
  for (const [name, source] of Object.entries(accepted)) await write(name, source);
});
afterAll(() => fs.rm(folder, { recursive: true, force: true }));

describe('a module of TREADLE_JOBS', () => {
  it('that cannot be used is refused: variable, module and fault are named', async () => {
    const answers = await loadEach(Object.keys(refused));
    const expected = Object.entries(refused).map(([name, [, message]]) => ({ name, message }));
    expect(answers).toHaveLength(expected.length);
    for (const [index, { name, message }] of expected.entries()) {
      const start = `TREADLE_JOBS ${name}: `;
      const said = String(answers[index]?.['message']);
      expect(answers[index]).toMatchObject({
        code: 'CONFIGURATION_ERROR',
        details: { faults: [{ variable: 'TREADLE_JOBS' }] },
      });
      const fits = typeof message === 'string' ? said === `${start}${message}` : message.test(said.slice(start.length));
      expect({ said, fits: fits && said.startsWith(start) }).toEqual({ said, fits: true });
    }
  });

  it('is found by its path or the name of its package, and may bring contracts that another one handles', async () => {
    const values = [
      './shared.ts',
      './shared.ts, handles.ts',
      '@acme/jobs/mail',
      './plain.cjs',
      './sagas.ts',
      './consumers.ts',
      '',
    ];
    const mail = { contracts: ['app.shared'], handlers: [], queues: ['mail'], schedules: [], sagas: [], consumers: [] };
    const none = { contracts: [], handlers: [], queues: [], schedules: [], sagas: [], consumers: [] };
    expect(await loadEach(values)).toEqual([
      mail,
      { ...mail, handlers: ['app.shared'], schedules: ['app.nightly'] },
      mail,
      { ...none, queues: ['mail'] },
      { ...none, sagas: ['orders.place'] },
      { ...none, consumers: ['mail'] },
      none,
    ]);
  });

  it('names the other module when two define the same', async () => {
    const [answer] = await loadEach(['./shared.ts,./again.ts,./no-queue.ts']);
    expect(answer).toMatchObject({
      message: 'TREADLE_JOBS ./again.ts: the job app.shared is defined twice, the other in ./shared.ts',
    });
  });
});

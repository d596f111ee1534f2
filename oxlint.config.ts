import { defineConfig } from 'oxlint';

/** The rooms of `src/` that each room may import (docs/architecture.md); a room may always import itself. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  domain: ['lib'],
  queues: ['lib'],
  changes: ['lib', 'domain', 'queues', 'jobs'],
  jobs: ['lib', 'domain', 'queues'],
  workers: ['lib', 'domain', 'queues', 'changes', 'jobs'],
  api: ['lib', 'domain', 'queues', 'jobs'],
  client: ['lib', 'queues'],
  cli: ['lib', 'domain', 'queues', 'jobs'],
};

/** Libraries that may be imported only in the named folders. */
const homes: Record<string, readonly string[]> = {
  '@elastic/elasticsearch': ['src/lib/elasticsearch', 'src/domain/search', 'src/domain/analytics'],
  bullmq: ['src/queues', 'src/workers/runtime'],
  'pg-boss': ['src/queues/maintenance'],
  croner: ['src/queues/schedules'],
  openai: ['src/lib/openai'],
  bentocache: ['src/lib/cache'],
  cockatiel: ['src/lib/resilience'],
  'rate-limiter-flexible': ['src/lib/resilience'],
  fastify: ['src/api'],
  commander: ['src/cli'],
};

/** What the command line may import of `workers`, when a command starts roles. */
const startsOfRoles = '(?!run-roles\\.ts|dev\\.ts)';

const everyRoom = Object.keys(rooms);

const restrictedImports = (folder: string, room?: string): ['error', object] => {
  const paths = Object.entries(homes)
    .filter(([, folders]) => !folders.some((home) => folder === home || folder.startsWith(`${home}/`)))
    .map(([name, folders]) => ({ name, message: `${name} is imported only in ${folders.join(' and ')}` }));
  const typesOnly = {
    regex: '^(\\.\\./)+platform\\.ts',
    allowTypeImports: true,
    message: 'platform.ts is imported as a type only',
  };
  const allowed = room ? [room, ...(rooms[room] ?? [])] : everyRoom;
  const forbidden = everyRoom.filter((other) => !allowed.includes(other));
  const patterns =
    room && forbidden.length > 0
      ? [
          {
            regex: `^(\\.\\./)+(${forbidden.join('|')})/${room === 'cli' ? startsOfRoles : ''}`,
            message: `${room} may import ${allowed.join(', ')} only`,
          },
        ]
      : [];
  const jobsSeam =
    room === 'jobs'
      ? [
          {
            regex:
              '^(\\.\\./)+queues/(?!define-job\\.ts|define-schedule\\.ts|handle\\.ts|outcome\\.ts|thread-handler\\.ts)',
            message:
              'jobs import queues/define-job.ts, define-schedule.ts, handle.ts, outcome.ts and thread-handler.ts only',
          },
        ]
      : [];
  return [
    'error',
    {
      paths,
      patterns: [...patterns, ...jobsSeam, ...(room && room !== 'workers' && room !== 'cli' ? [typesOnly] : [])],
    },
  ];
};

const roomOverrides = Object.keys(rooms).map((room) => ({
  files: [`src/${room}/**`],
  rules: { 'no-restricted-imports': restrictedImports(`src/${room}`, room) },
}));

const homeOverrides = [...new Set(Object.values(homes).flat())]
  .filter((folder) => folder.split('/').length > 2)
  .map((folder) => ({
    files: [`${folder}/**`],
    rules: { 'no-restricted-imports': restrictedImports(folder, folder.split('/')[1]) },
  }));

export default defineConfig({
  plugins: ['typescript', 'unicorn', 'oxc', 'import', 'node', 'promise', 'vitest'],
  categories: { correctness: 'error', suspicious: 'error' },
  env: { node: true },
  ignorePatterns: ['dist', 'node_modules', '.treadle', 'src/lib/postgres/schema.generated.ts'],
  rules: {
    'typescript/no-explicit-any': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/switch-exhaustiveness-check': 'error',
    'node/no-process-env': 'error',
    'import/no-cycle': 'error',
    'oxc/no-barrel-file': ['error', { threshold: 0 }],
    'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
    'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
    'no-console': 'error',
    'no-await-in-loop': 'off',
    'typescript/no-unnecessary-type-parameters': 'off',
    'no-restricted-imports': restrictedImports('src'),
  },
  overrides: [
    ...roomOverrides,
    ...homeOverrides,
    // The process role that serves HTTP is the one worker that starts the api.
    { files: ['src/workers/api.ts'], rules: { 'no-restricted-imports': 'off' } },
    // What the package exports: whole modules, so that what is added to one is exported too.
    { files: ['src/treadle.ts', 'src/client.ts', 'src/events.ts'], rules: { 'oxc/no-barrel-file': 'off' } },
    {
      files: ['src/lib/config/**', 'test/**', 'bench/**', 'chaos/**', 'scripts/**', 'examples/**', '*.ts'],
      rules: { 'node/no-process-env': 'off' },
    },
    // One request brings all of it.
    {
      files: ['src/api/search-page/search.js'],
      rules: { 'max-lines': ['error', { max: 450, skipBlankLines: true, skipComments: true }] },
    },
    // Drivers of bentocache are typed for text and hand on what they are given; what a cache holds only who keeps it knows.
    {
      files: ['src/lib/cache/bento-drivers.ts', 'src/lib/cache/cache-manager.ts', 'src/lib/cache/compute-engine.ts'],
      rules: { 'typescript/no-unsafe-type-assertion': 'off' },
    },
    // The seam to BullMQ's Postgres backend, whose types ask for more than it uses.
    { files: ['src/queues/bullmq/**'], rules: { 'typescript/no-unsafe-type-assertion': 'off' } },
    {
      files: ['test/**', 'bench/**', 'chaos/**', 'scripts/**', 'examples/**'],
      rules: {
        'max-lines-per-function': 'off',
        'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
        'unicorn/consistent-function-scoping': 'off',
        'typescript/no-unsafe-type-assertion': 'off',
        'no-console': 'off',
        'no-restricted-imports': 'off',
      },
    },
  ],
});

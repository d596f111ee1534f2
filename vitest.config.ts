import path from 'node:path';
import { defineConfig } from 'vitest/config';
import LongestFirst from './test/services/longest-first.ts';

export default defineConfig({
  test: {
    globalSetup: ['test/services/global-setup.ts'],
    setupFiles: ['test/services/leaks.ts'],
    reporters: ['default', './test/services/services-reporter.ts'],
    pool: 'forks',
    // More than the two cores of CI: tests mostly wait, for locks to run out and servers to start.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // What Node has compiled is kept, where bin/treadle.js keeps it too: a process of a test starts in half the time.
    env: { NODE_COMPILE_CACHE: path.join(import.meta.dirname, 'node_modules', '.cache', 'treadle') },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: ['test/processes/**', 'test/domain/search/**', 'test/domain/analytics/**'],
        },
      },
      {
        // Everything that is searched or counted in Postgres and in Elasticsearch, which takes a while to start.
        extends: true,
        test: {
          name: 'search',
          include: ['test/domain/search/**/*.test.ts', 'test/domain/analytics/**/*.test.ts'],
          globalSetup: ['test/services/elasticsearch-setup.ts'],
        },
      },
      {
        // Whole processes, which start and are killed, and on which tests wait for most of their time.
        extends: true,
        test: {
          name: 'processes',
          include: ['test/processes/**/*.test.ts'],
          globalSetup: ['test/services/elasticsearch-program-setup.ts'],
          testTimeout: 180_000,
        },
      },
    ],
  },
});

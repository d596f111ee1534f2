import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: ['test/services/global-setup.ts'],
    setupFiles: ['test/services/leaks.ts'],
    reporters: ['default', './test/services/services-reporter.ts'],
    pool: 'forks',
    // More than the two cores of CI: tests mostly wait, for locks to run out and servers to start.
    maxWorkers: 3,
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
        // Whole processes, which start and are killed: two files at a time, as each has several.
        extends: true,
        test: {
          name: 'processes',
          include: ['test/processes/**/*.test.ts'],
          globalSetup: ['test/services/elasticsearch-program-setup.ts'],
          maxWorkers: 2,
          testTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});

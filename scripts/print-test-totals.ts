import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const report = z.object({
  success: z.boolean(),
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  testResults: z.array(z.object({ status: z.string(), assertionResults: z.array(z.object({ status: z.string() })) })),
});

/**
 * `N passed, N failed`, with `, N skipped` when there are any, from the JSON report of a test run. A file that failed
 * without a failed test of its own (it could not be loaded), and a run that failed outside of its tests, count as one failure.
 */
export const testTotals = (json: unknown): string => {
  const run = report.parse(json);
  const brokenFiles = run.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && assertionResults.every((assertion) => assertion.status !== 'failed'),
  ).length;
  const found = run.numFailedTests + brokenFiles;
  const failed = found === 0 && !run.success ? 1 : found;
  const skipped = run.numPendingTests + run.numTodoTests;
  return `${run.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
};

const readReport = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));

if (import.meta.main) {
  try {
    console.log(testTotals(await readReport(process.argv[2] ?? '')));
  } catch {
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
  }
}

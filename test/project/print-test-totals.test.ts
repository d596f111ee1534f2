import { describe, expect, it } from 'vitest';
import { testTotals } from '../../scripts/print-test-totals.ts';

const run = {
  success: true,
  numPassedTests: 12,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [{ status: 'passed', assertionResults: [{ status: 'passed' }] }],
};

describe('the totals of a test run', () => {
  it('count what passed and what failed', () => {
    expect(testTotals(run)).toBe('12 passed, 0 failed');
    const failed = { status: 'failed', assertionResults: [{ status: 'failed' }, { status: 'passed' }] };
    expect(testTotals({ ...run, success: false, numFailedTests: 1, testResults: [failed] })).toBe(
      '12 passed, 1 failed',
    );
  });

  it('mention skipped tests only when there are any', () => {
    expect(testTotals({ ...run, numPendingTests: 2, numTodoTests: 1 })).toBe('12 passed, 0 failed, 3 skipped');
  });

  it('count a file that could not be loaded as a failure', () => {
    expect(testTotals({ ...run, success: false, testResults: [{ status: 'failed', assertionResults: [] }] })).toBe(
      '12 passed, 1 failed',
    );
  });

  it('count a run that failed outside of its tests as a failure', () => {
    expect(testTotals({ ...run, success: false })).toBe('12 passed, 1 failed');
  });
});

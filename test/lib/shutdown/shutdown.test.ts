import { afterEach, describe, expect, test } from 'vitest';
import { RunningProcess } from '../../processes/run-process.ts';

const running: RunningProcess[] = [];
afterEach(async () => {
  for (const started of running.splice(0)) await started.end('SIGKILL');
});

const start = async (way = 'waiting'): Promise<RunningProcess> => {
  const started = new RunningProcess('shutdown.ts', { args: [way] });
  running.push(started);
  while ((await started.line()) !== 'ready');
  return started;
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s closes in reverse order and ends with 0', async (signal) => {
    const started = await start();
    expect(await started.end(signal)).toBe(0);
    expect([await started.line(), await started.line()]).toEqual(['closed second', 'closed first']);
  });

  test('that arrives twice at once, as Ctrl-C does through npm, counts once', async () => {
    const started = await start('slow');
    started.child.kill('SIGINT');
    expect(await started.line()).toBe('closing');
    expect(await started.end('SIGINT')).toBe(0);
  });

  test('a second later forces the end', async () => {
    const started = await start('stuck');
    started.child.kill('SIGINT');
    expect(await started.line()).toBe('closing');
    await pause(1_100);
    expect(await started.end('SIGINT')).toBe(1);
  });

  test('during a start waits for what is being started, and closes it', async () => {
    const started = await start('starting');
    expect(await started.end('SIGTERM')).toBe(0);
    const lines = [await started.line(), await started.line(), await started.line(), await started.line()];
    expect(lines).toEqual(['closed third', 'the process is shutting down', 'closed second', 'closed first']);
  });
});

test('a closer that fails does not keep the others from closing; the exit code is 1', async () => {
  const started = await start('failing');
  expect(await started.end()).toBe(1);
  expect([await started.line(), await started.line()]).toEqual(['closed second', 'closed first']);
});

test('a closer that takes longer than the grace is left behind; the exit code is 1', async () => {
  const started = await start('late');
  expect(await started.end()).toBe(1);
  expect([await started.line(), await started.line()]).toEqual(['closed second', 'closed first']);
});

test.each(['throwing', 'rejecting'])(
  'an error that nobody catches (%s) closes everything and ends with 1',
  async (way) => {
    const started = await start(way);
    expect(await started.ended()).toBe(1);
    expect([await started.line(), await started.line()]).toEqual(['closed second', 'closed first']);
  },
);

test('work that is finished ends with 0', async () => {
  const started = await start('finishing');
  expect(await started.ended()).toBe(0);
});

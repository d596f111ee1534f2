import { expect, it } from 'vitest';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { Meter } from '../../../src/lib/telemetry/meter.ts';

const log = createLog({ level: 'silent' });
const linesOf = (text: string): readonly string[] => text.split('\n');

it('writes counters and histograms as Prometheus reads them', async () => {
  const meter = new Meter(log);
  const counter = meter.counter('taken_total', 'Things taken.');
  counter.with({ what: 'a "thing"\n\\' }).add(2);
  counter.with({ what: 'a "thing"\n\\' }).add();
  const seconds = meter.histogram('took_seconds', 'How long.', [0.1, 1]).with({});
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.observe(value);
  const lines = linesOf(await meter.expose());
  expect(lines).toEqual(
    expect.arrayContaining([
      '# HELP taken_total Things taken.',
      '# TYPE taken_total counter',
      String.raw`taken_total{what="a \"thing\"\n\\"} 3`,
      '# TYPE took_seconds histogram',
      'took_seconds_bucket{le="0.1"} 2',
      'took_seconds_bucket{le="1"} 3',
      'took_seconds_bucket{le="+Inf"} 4',
      'took_seconds_sum 7.65',
      'took_seconds_count 4',
    ]),
  );
  expect(lines.filter((line) => line.startsWith('nodejs_eventloop_lag_seconds '))).toHaveLength(1);
});

it('leaves out what cannot be read, and answers the rest', async () => {
  const meter = new Meter(log);
  meter.counter('taken_total', 'Things taken.').with({}).add();
  meter.addSource('broken', () => Promise.reject(new Error('away')));
  const stop = meter.addSource('gone', () => [{ name: 'gone', help: '', type: 'gauge', samples: [] }]);
  stop();
  const text = await meter.expose();
  expect(text).toContain('taken_total 1\n');
  expect(text).not.toContain('gone');
});

import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { runOracle } from '../../chaos/sync/run-oracle.ts';
import { shortSync, standbySync } from '../../chaos/sync/sizes.ts';
import { openWorld } from '../../chaos/sync/world.ts';
import { ElasticsearchServer } from '../services/elasticsearch-server.ts';

const seed = Math.floor(Math.random() * 1_000_000);
const program = inject('elasticsearchProgram');

// `npm run sync-oracle` runs both with 40,000 keys; see docs/reliability.md.
describe.runIf(program !== undefined)('[elasticsearch-server] the indexes equal their tables', () => {
  let elasticsearch: ElasticsearchServer;
  beforeAll(async () => {
    if (program) elasticsearch = await ElasticsearchServer.start(program);
  }, 120_000);
  afterAll(async () => {
    await elasticsearch.stop();
  });

  test.for([
    ['whoever writes and whatever is killed, frozen and cut', false, undefined, shortSync],
    // What this one is about needs no more.
    [
      'where commits reach the stream long before they can be seen, too',
      true,
      ['kill a replicator', 'cut the stream'],
      standbySync,
    ],
  ] as const)('%s', { timeout: 300_000 }, async ([, withStandby, faults, size]) => {
    const world = await openWorld({ elasticsearch, withStandby });
    try {
      const { breaches, keys, samples, tombstones } = await runOracle(world, { ...size, seed, faults });
      expect({ seed, breaches }).toEqual({ seed, breaches: [] });
      expect(keys).toBeGreaterThanOrEqual(size.keys);
      // There was something to be wrong about.
      expect(Math.min(samples, tombstones)).toBeGreaterThan(10);
    } finally {
      await world.close();
    }
  });
});

import { backfillIndex } from '../../src/domain/search/indexes/backfill-index.ts';
import { connectSync, openSource, renewIndex } from '../sync-world.ts';

/** How a backfill went, in a process that does nothing else. */
export interface Backfilled {
  readonly documents: number;
  readonly ms: number;
  /** Before it began, with everything loaded and connected, after a garbage collection. */
  readonly startRssMb: number;
  readonly peakRssMb: number;
  /** Of the heap and what lies outside of it, garbage included. */
  readonly peakHeapMb: number;
}

// `node --expose-gc sync-backfill.ts <Postgres URL> <Elasticsearch URL>`: tells its parent, and ends.
const [postgresUrl = '', elasticsearchUrl = ''] = process.argv.slice(2);
const connections = connectSync(postgresUrl, elasticsearchUrl);
const index = await renewIndex(connections, await openSource(connections.postgres, 'articles'));
globalThis.gc?.();
const mb = (bytes: number): number => bytes / 2 ** 20;
const startRssMb = mb(process.memoryUsage().rss);
let [peakRssMb, peakHeapMb, documents] = [0, 0, 0];
const sampling = setInterval(() => {
  const { rss, heapUsed, external } = process.memoryUsage();
  peakRssMb = Math.max(peakRssMb, mb(rss));
  peakHeapMb = Math.max(peakHeapMb, mb(heapUsed + external));
}, 20);
const startedAt = performance.now();
const { failed } = await backfillIndex(index, {
  alias: index.source.definition.names.alias,
  signal: new AbortController().signal,
  onCursor: (cursor) => index.states.noteBackfill(index.name, cursor),
  onProgress: (written) => {
    documents = written;
  },
});
const ms = performance.now() - startedAt;
clearInterval(sampling);
if (failed.length > 0) throw new Error(`${failed.length} documents were refused`);
process.send?.({ documents, ms, startRssMb, peakRssMb, peakHeapMb } satisfies Backfilled);
await connections.close();
process.disconnect();

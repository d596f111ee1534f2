import { beforeAll, describe, expect, it } from 'vitest';
import { LocalEmbedder } from '../../../src/domain/embeddings/local-embedder.ts';
import { ElasticsearchSearch } from '../../../src/domain/search/elasticsearch/elasticsearch-search.ts';
import { PostgresSearch } from '../../../src/domain/search/postgres/postgres-search.ts';
import type { SearchBackend } from '../../../src/domain/search/search-port.ts';
import { fillWorkspace, type JudgedWorkspace } from '../../relevance/judged-workspace.ts';
import { measureRelevance } from '../../relevance/measure-relevance.ts';
import { readJudgedSet, type JudgedSet } from '../../relevance/read-judged-set.ts';
import { movedFigures, readFigures, recordCommand, recordFigures } from '../../relevance/recorded-figures.ts';
import { useDatabase } from '../../services/database.ts';
import { elasticsearchUrl, useIndex } from '../../services/elasticsearch.ts';

/** 760 documents and 180 searches on a machine that does other things, too. */
const patienceMs = 300_000;

const database = useDatabase();
let judged: JudgedSet;
let workspace: JudgedWorkspace;

beforeAll(async () => {
  judged = await readJudgedSet();
  workspace = await fillWorkspace(database.postgres, judged.documents);
}, patienceMs);

/** What moved, as lines for whoever moved it. */
const movedIn = async (backend: SearchBackend): Promise<readonly string[]> => {
  const measured = await measureRelevance(workspace, backend, judged.queries);
  if (process.env['RECORD_RELEVANCE'] === 'true') await recordFigures(backend.name, measured);
  const recorded = (await readFigures())[backend.name];
  if (!recorded) return [`nothing is recorded of ${backend.name}; record it: ${recordCommand}`];
  const moved = movedFigures(recorded, measured);
  if (moved.length === 0) return [];
  return [`the relevance of ${backend.name} moved`, ...moved, `if that is meant, record it: ${recordCommand}`];
};

describe('[postgres]', () => {
  it(
    'finds what was judged good as well as was recorded, by words, by meaning and by both',
    async () => {
      expect(await movedIn(new PostgresSearch(database.postgres))).toEqual([]);
    },
    patienceMs,
  );
});

describe.skipIf(elasticsearchUrl === '')('[elasticsearch]', () => {
  const { index, elasticsearch, model } = useIndex(database, new LocalEmbedder());

  beforeAll(async () => {
    await index.reindexWorkspace(workspace.workspaceId);
    await index.refresh();
  }, patienceMs);

  it(
    'finds what was judged good as well as was recorded, by words, by meaning and by both',
    async () => {
      const { definition } = index;
      expect(await movedIn(new ElasticsearchSearch({ elasticsearch, definition, model }))).toEqual([]);
    },
    patienceMs,
  );
});

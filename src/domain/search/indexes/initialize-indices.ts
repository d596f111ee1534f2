import type { estypes } from '@elastic/elasticsearch';
import { z } from 'zod';
import { AppError } from '../../../lib/errors/app-error.ts';
import type { Elasticsearch } from '../../../lib/elasticsearch/connect-elasticsearch.ts';
import { isOfDefinition, type IndexDefinition } from './index-definition.ts';

export type IndexState =
  /** The index of this definition is live. */
  | { readonly state: 'ready'; readonly index: string }
  /** It was made just now and is empty: every workspace is to be indexed. */
  | { readonly state: 'created'; readonly index: string }
  /** `live`, of another definition, was left as it is (null: none is live, and one of this definition is being built). */
  | { readonly state: 'needs-rebuild'; readonly index: string; readonly live: string | null };

const aliasesShape = z.record(z.string(), z.object({ aliases: z.record(z.string(), z.unknown()) }));

/** The indices behind an alias. */
export const indicesBehind = async (elasticsearch: Elasticsearch, alias: string): Promise<readonly string[]> => {
  const answer = await elasticsearch.call((client, options) =>
    client.indices.getAlias({ name: alias }, { ...options, ignore: [404] }),
  );
  const found = aliasesShape.safeParse(answer);
  return found.success ? Object.keys(found.data) : [];
};

/** The index behind the alias; null without one. */
export const liveIndex = async (elasticsearch: Elasticsearch, alias: string): Promise<string | null> =>
  (await indicesBehind(elasticsearch, alias))[0] ?? null;

const withoutTombstones = { bool: { must_not: { exists: { field: 'deleted_at' } } } };

/** What makes one index the only one that is searched by the alias. */
export const searchOnly = async (
  elasticsearch: Elasticsearch,
  alias: string,
  index: string,
): Promise<readonly estypes.IndicesUpdateAliasesAction[]> => [
  ...(await indicesBehind(elasticsearch, alias))
    .filter((other) => other !== index)
    .map((other) => ({ remove: { index: other, alias } })),
  { add: { index, alias, filter: withoutTombstones } },
];

/** Makes an index with aliases, of which those for searching hide tombstones. @throws AppError of {@link Elasticsearch.call}. */
export const createIndex = async (
  elasticsearch: Elasticsearch,
  { settings, mappings }: IndexDefinition,
  index: string,
  aliases: readonly string[],
  searched: readonly string[] = [],
): Promise<void> => {
  await elasticsearch.call((client, options) =>
    client.indices.create(
      {
        index,
        settings,
        mappings,
        aliases: Object.fromEntries<object>([
          ...aliases.map((alias) => [alias, { is_write_index: true }] as const),
          ...searched.map((alias) => [alias, { filter: withoutTombstones }] as const),
        ]),
      },
      options,
    ),
  );
};

/** False when somebody else was faster: one alias never gets two indices to write to, nor is an index made twice. */
const create = async (elasticsearch: Elasticsearch, definition: IndexDefinition): Promise<boolean> => {
  const { names } = definition;
  try {
    await createIndex(elasticsearch, definition, names.index, [names.alias], [names.live]);
    return true;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'EXTERNAL_SERVICE_ERROR') throw error;
    const [live, isThere] = await Promise.all([
      liveIndex(elasticsearch, names.alias),
      elasticsearch.call((client, options) => client.indices.exists({ index: names.index }, options)),
    ]);
    if (live === null && !isThere) throw error;
    return false;
  }
};

/**
 * Makes the index of the definition where none is live, and changes nothing otherwise. Any number of processes may do so
 * at once, of different definitions too: one index becomes live.
 * @throws AppError CONFIGURATION_ERROR for a server that is no Elasticsearch 8 or 9, and of {@link Elasticsearch.call}.
 */
export const initializeIndices = async (
  elasticsearch: Elasticsearch,
  definition: IndexDefinition,
): Promise<IndexState> => {
  const { alias, index } = definition.names;
  await elasticsearch.checkVersion();
  if ((await liveIndex(elasticsearch, alias)) === null && (await create(elasticsearch, definition))) {
    return { state: 'created', index };
  }
  const live = await liveIndex(elasticsearch, alias);
  return live !== null && isOfDefinition(live, definition)
    ? { state: 'ready', index: live }
    : { state: 'needs-rebuild', index, live };
};

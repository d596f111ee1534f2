import { createHash } from 'node:crypto';
import type { estypes } from '@elastic/elasticsearch';

export interface IndexNames {
  /** Where documents are written: the one live index. */
  readonly alias: string;
  /** Where they are searched: the same without tombstones. */
  readonly live: string;
  /** Where documents are written too while another index is built beside the live one. */
  readonly building: string;
  /** The index of this definition; of later ones of the same definition the beginning. */
  readonly index: string;
}

/** How an index is made: the same for everybody who has the same definition. */
export interface IndexDefinition {
  readonly names: IndexNames;
  readonly settings: estypes.IndicesIndexSettings;
  readonly mappings: estypes.MappingTypeMapping;
}

export interface IndexDefinitionInput {
  readonly name: string;
  /** Before all names, to tell installations apart that share an Elasticsearch. */
  readonly prefix: string;
  readonly settings: estypes.IndicesIndexSettings;
  readonly mappings: estypes.MappingTypeMapping;
  /** What else the documents depend on: where their values come from. */
  readonly content?: unknown;
}

const keyword: estypes.MappingProperty = { type: 'keyword' };

/** What every document has. The index refuses fields that it does not know. */
const ownProperties: Readonly<Record<string, estypes.MappingProperty>> = {
  id: keyword,
  workspace_id: keyword,
  version: { type: 'long' },
  content_hash: keyword,
  deleted_at: { type: 'date' },
};

/**
 * Completes a definition with its names, of which that of the index ends in a hash of the definition: any change of it is
 * another index.
 */
export const completeDefinition = (input: IndexDefinitionInput): IndexDefinition => {
  const { name, prefix, settings, mappings, content } = input;
  const whole: estypes.MappingTypeMapping = {
    dynamic: 'strict',
    ...mappings,
    properties: { ...mappings.properties, ...ownProperties },
  };
  const hash = createHash('sha256')
    .update(JSON.stringify(content === undefined ? [settings, whole] : [settings, whole, content]))
    .digest('hex')
    .slice(0, 12);
  const alias = `${prefix}${name}`;
  return {
    names: { alias, live: `${alias}-live`, building: `${alias}-building`, index: `${alias}-${hash}` },
    settings,
    mappings: whole,
  };
};

/** Whether an index was made by a definition, this time or before. */
export const isOfDefinition = (index: string, { names }: IndexDefinition): boolean =>
  index === names.index || index.startsWith(`${names.index}-`);

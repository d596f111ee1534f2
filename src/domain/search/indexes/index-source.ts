import type { Queryable } from '../../../lib/postgres/queryable.ts';
import type { ReadColumn, Watch } from '../../../lib/replication/watch.ts';
import type { IndexDefinition } from './index-definition.ts';

/** Names a document of an index. */
export interface DocumentKey {
  /** Empty in an index without workspaces. */
  readonly workspaceId: string;
  readonly id: string;
}

/** A document as it is to be written. */
export interface SourceDocument extends DocumentKey {
  /** As JSON: an object with `id` and `workspace_id`, without its version. */
  readonly json: string;
  /** Of its content: equal for equal documents, however they were read. */
  readonly hash: string;
}

/** A table that the documents of an index are made of. */
export interface SourceTable {
  readonly schema: string;
  readonly table: string;
  /** Columns by which changed and deleted rows are known: its replica identity must hold them. */
  readonly identity: readonly string[];
  /** Columns that must be there. */
  readonly columns: readonly string[];
  /** Only these need be published; all by default. */
  readonly published?: readonly string[];
}

/** Documents of Postgres as an index shows them, and the tables they are made of. */
export interface IndexSource {
  /** Also the kind of its documents in the change stream. */
  readonly name: string;
  readonly definition: IndexDefinition;
  readonly hasWorkspaces: boolean;
  readonly tables: readonly SourceTable[];
  readonly watches: readonly Watch[];
  /**
   * The documents with these keys that there are, page by page, each page of one moment. A key without a workspace is
   * that of the document with this id in any.
   */
  read(db: Queryable, keys: readonly DocumentKey[]): AsyncIterable<readonly SourceDocument[]>;
  /** The next documents behind a key, in the order of their keys, as many as are read at once; none behind the last. */
  scan(db: Queryable, after: DocumentKey | undefined): Promise<readonly SourceDocument[]>;
  /** Those of the keys that are no document. */
  absent(db: Queryable, keys: readonly DocumentKey[]): Promise<readonly DocumentKey[]>;
  /** About how many documents there are. */
  count(db: Queryable): Promise<number>;
  /**
   * Keys of documents that show rows of another table, in the order of keys, up to a thousand behind `after`. `kind` is one that the
   * watches tell, other than that of documents.
   */
  showing(
    db: Queryable,
    kind: string,
    ids: readonly string[],
    after: DocumentKey | undefined,
  ): Promise<readonly DocumentKey[]>;
  /** For sources whose watch carries rows: the document that a row is; undefined: it has to be read again. */
  documentOf?(row: ReadColumn): SourceDocument | undefined;
}

/** Which of two keys comes first, as Postgres orders them: by workspace, then by id. */
export const keyText = ({ workspaceId, id }: DocumentKey): string => `${workspaceId}\0${id}`;

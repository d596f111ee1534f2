/** Something that a change concerns, such as a document: what a follower of the change stream reads again and writes. */
export interface ChangedEntity {
  /** What it is: a document of an index, or a row that documents show. */
  readonly kind: string;
  /** Empty where there are no workspaces, or where the change does not tell. */
  readonly workspaceId: string;
  readonly id: string;
}

/**
 * Values of a changed row by the names of its columns, as Postgres writes them; undefined for one that the stream does not
 * carry, such as a large value that an UPDATE left alone.
 */
export type ReadColumn = (name: string) => string | null | undefined;

/** What a follower wants to hear of a table. */
export interface Watch {
  readonly schema: string;
  readonly table: string;
  /** What a changed row concerns. Of an update the old row is asked for too, as far as its identity tells it. */
  entitiesOf(row: ReadColumn): readonly ChangedEntity[];
  /** What concerns everything, when the table is truncated. */
  readonly kinds: readonly string[];
  /** The follower makes do with the row as the stream carries it, and reads nothing again. */
  readonly carriesRows?: boolean;
}

import type { Lsn } from './lsn.ts';
import type { Tuple } from './tuple.ts';

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  /** Part of the replica identity. */
  readonly isKey: boolean;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly identity: 'default' | 'nothing' | 'full' | 'index';
  readonly columns: readonly RelationColumn[];
}

/** What pgoutput (protocol version 1) tells, in the order of commits; see "Logical Replication Message Formats". */
export type PgoutputMessage =
  | { readonly kind: 'begin'; readonly commitLsn: Lsn; readonly committedAt: Date; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: Lsn; readonly endLsn: Lsn; readonly committedAt: Date }
  /** Before the first change of a table in a session, and again after its columns changed. */
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'insert'; readonly relation: Relation; readonly row: Tuple }
  /** `old` holds the identity's columns before a change of them, or with identity FULL the whole row; else undefined. */
  | { readonly kind: 'update'; readonly relation: Relation; readonly row: Tuple; readonly old: Tuple | undefined }
  /** `old`: the identity's columns, the others null. */
  | { readonly kind: 'delete'; readonly relation: Relation; readonly old: Tuple }
  | { readonly kind: 'truncate'; readonly relations: readonly Relation[] }
  /** Of pg_logical_emit_message. */
  | {
      readonly kind: 'message';
      readonly transactional: boolean;
      readonly lsn: Lsn;
      readonly prefix: string;
      readonly content: string;
    };

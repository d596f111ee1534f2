import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from } from 'pg-copy-streams';
import type { Queryable } from './queryable.ts';

/** A connection that takes rows by COPY: node-postgres' own, in a transaction of ours. */
export interface CopyingQueryable extends Queryable {
  /**
   * Streams rows, as `copyRow` makes them, into a `COPY … FROM STDIN`, no faster than the server takes them. When the rows
   * end with an error, so does the COPY.
   */
  copyIn(statement: string, rows: Iterable<string>): Promise<void>;
}

const pieceLength = 65_536;

function* piecesOf(rows: Iterable<string>): Generator<Buffer> {
  let piece = '';
  for (const row of rows) {
    piece += row;
    if (piece.length < pieceLength) continue;
    yield Buffer.from(piece);
    piece = '';
  }
  if (piece !== '') yield Buffer.from(piece);
}

/** See {@link CopyingQueryable}. */
export const copyIn = (client: pg.ClientBase, statement: string, rows: Iterable<string>): Promise<void> =>
  pipeline(Readable.from(piecesOf(rows)), client.query(from(statement)));

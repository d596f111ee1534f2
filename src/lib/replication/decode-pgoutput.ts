import type { PgoutputMessage, Relation, RelationColumn } from './pgoutput-message.ts';
import { Tuple } from './tuple.ts';

/** Microseconds from the Unix epoch to the one of Postgres, 2000-01-01. */
export const postgresEpochMicros = 946_684_800_000_000n;

const identities: Readonly<Record<string, Relation['identity']>> = {
  d: 'default',
  n: 'nothing',
  f: 'full',
  i: 'index',
};

class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  byte(): number {
    this.#at += 1;
    return this.#bytes.readUInt8(this.#at - 1);
  }

  character(): string {
    return String.fromCharCode(this.byte());
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  uint32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32BE(this.#at - 4);
  }

  uint64(): bigint {
    this.#at += 8;
    return this.#bytes.readBigUInt64BE(this.#at - 8);
  }

  time(): Date {
    return new Date(Number((this.uint64() + postgresEpochMicros) / 1_000n));
  }

  /** Up to a zero byte. */
  string(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  tuple(): Tuple {
    const tuple = Tuple.read(this.#bytes, this.#at);
    this.#at += tuple.byteLength;
    return tuple;
  }

  /** Of the length that stands before it. */
  text(): string {
    const length = this.uint32();
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }
}

const readRelation = (reader: Reader): Relation => {
  const oid = reader.uint32();
  const schema = reader.string();
  const name = reader.string();
  const identity = identities[reader.character()] ?? 'nothing';
  const columns = Array.from({ length: reader.int16() }, (): RelationColumn => {
    const isKey = (reader.byte() & 1) === 1;
    const column = { isKey, name: reader.string(), typeOid: reader.uint32() };
    reader.uint32();
    return column;
  });
  // Empty for pg_catalog.
  return { oid, schema: schema === '' ? 'pg_catalog' : schema, name, identity, columns };
};

/** Reads the messages of one session, which describe a table once and then call it by its number. */
export class PgoutputDecoder {
  readonly #relations = new Map<number, Relation>();

  /**
   * The message that begins at `offset`; undefined for one that says nothing of rows (a type, an origin).
   * @throws Error for what protocol version 1 does not know.
   */
  decode(bytes: Buffer, offset: number): PgoutputMessage | undefined {
    const reader = new Reader(bytes, offset);
    const kind = reader.character();
    switch (kind) {
      case 'B':
        return { kind: 'begin', commitLsn: reader.uint64(), committedAt: reader.time(), xid: reader.uint32() };
      case 'C':
        reader.byte();
        return { kind: 'commit', commitLsn: reader.uint64(), endLsn: reader.uint64(), committedAt: reader.time() };
      case 'R': {
        const relation = readRelation(reader);
        this.#relations.set(relation.oid, relation);
        return { kind: 'relation', relation };
      }
      case 'I': {
        const relation = this.#relation(reader.uint32());
        reader.byte();
        return { kind: 'insert', relation, row: reader.tuple() };
      }
      case 'U':
        return this.#update(reader);
      case 'D': {
        const relation = this.#relation(reader.uint32());
        reader.byte();
        return { kind: 'delete', relation, old: reader.tuple() };
      }
      case 'T': {
        const count = reader.uint32();
        reader.byte();
        return { kind: 'truncate', relations: Array.from({ length: count }, () => this.#relation(reader.uint32())) };
      }
      case 'M': {
        const transactional = (reader.byte() & 1) === 1;
        return {
          kind: 'message',
          transactional,
          lsn: reader.uint64(),
          prefix: reader.string(),
          content: reader.text(),
        };
      }
      case 'Y':
      case 'O':
        return undefined;
      default:
        throw new Error(`pgoutput: a message of the unknown kind ${JSON.stringify(kind)}`);
    }
  }

  #update(reader: Reader): PgoutputMessage {
    const relation = this.#relation(reader.uint32());
    const before = reader.character();
    const old = before === 'N' ? undefined : reader.tuple();
    if (old) reader.byte();
    return { kind: 'update', relation, row: reader.tuple(), old };
  }

  #relation(oid: number): Relation {
    const relation = this.#relations.get(oid);
    if (!relation) throw new Error(`pgoutput: a change of table ${oid}, which was not described`);
    return relation;
  }
}

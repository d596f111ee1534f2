const textKind = 0x74;
const nullKind = 0x6e;
const unchangedKind = 0x75;

const isNull = -1;
const isUnchanged = -2;

/**
 * Column values in the order of the relation's columns, as Postgres writes them. Each is decoded when it is asked for, from
 * the bytes of the message, which hold until the next one comes: whoever needs a tuple longer has to {@link keep} it.
 */
export class Tuple {
  /** How many bytes of the message it takes. */
  readonly byteLength: number;
  readonly #bytes: Buffer;
  readonly #from: number;
  /** Where the values begin, as seen from the tuple's beginning; or why there is none. */
  readonly #starts: readonly number[];

  private constructor(bytes: Buffer, from: number, byteLength: number, starts: readonly number[]) {
    this.#bytes = bytes;
    this.#from = from;
    this.byteLength = byteLength;
    this.#starts = starts;
  }

  /** The tuple that begins at `from`: TupleData of "Logical Replication Message Formats". @throws Error for unknown kinds. */
  static read(bytes: Buffer, from: number): Tuple {
    const starts: number[] = [];
    let at = from + 2;
    for (let left = bytes.readInt16BE(from); left > 0; left -= 1) {
      const kind = bytes.readUInt8(at);
      at += 1;
      if (kind === textKind) {
        starts.push(at + 4 - from);
        at += 4 + bytes.readUInt32BE(at);
      } else if (kind === nullKind) starts.push(isNull);
      else if (kind === unchangedKind) starts.push(isUnchanged);
      else throw new Error(`pgoutput: a value of the unknown kind ${JSON.stringify(String.fromCharCode(kind))}`);
    }
    return new Tuple(bytes, from, at - from, starts);
  }

  /** Whether it has all its values: a large one that an UPDATE did not touch is left out by the stream. */
  get isWhole(): boolean {
    return !this.#starts.includes(isUnchanged);
  }

  /** Undefined for one that was left out, and where there is no such column. */
  at(place: number): string | null | undefined {
    const start = this.#starts[place];
    if (start === undefined || start === isUnchanged) return undefined;
    if (start === isNull) return null;
    const from = this.#from + start;
    return this.#bytes.toString('utf8', from, from + this.#bytes.readUInt32BE(from - 4));
  }

  /** The same with bytes of its own. */
  keep(): Tuple {
    const own = Buffer.from(this.#bytes.subarray(this.#from, this.#from + this.byteLength));
    return new Tuple(own, 0, this.byteLength, this.#starts);
  }
}

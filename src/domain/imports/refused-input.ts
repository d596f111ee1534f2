/** Something an import cannot take: the file (relative to what was given), the line where it can be told, and why. */
export interface ImportFault {
  readonly file: string;
  readonly line?: number;
  readonly message: string;
}

/** Thrown by a reader, deep down, when a file cannot be read on; the import reports it and goes on with the next file. */
export class RefusedInput extends Error {
  override readonly name = 'RefusedInput';
  readonly line: number | undefined;
  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

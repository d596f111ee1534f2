/** Where a command prints: results to standard output, everything else to standard error. */
export interface Output {
  /** `--json`: a command's result is one JSON object; of a list, with its `items`. */
  readonly json: boolean;
  /** True when a person watches standard error. */
  readonly interactive: boolean;
  /** The command's result: the object for machines, the text for people. */
  result(value: object, text: () => string): void;
  /** A note for people, on standard error; machines are not told. */
  note(text: string): void;
}

const write = (stream: NodeJS.WriteStream, text: string): void => {
  if (text !== '') stream.write(text.endsWith('\n') ? text : `${text}\n`);
};

export const createOutput = (json: boolean): Output => ({
  json,
  interactive: process.stderr.isTTY && !json,
  result: (value, text) => write(process.stdout, json ? JSON.stringify(value) : text()),
  note: (text) => {
    if (!json) write(process.stderr, text);
  },
});

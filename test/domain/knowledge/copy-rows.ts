import type pg from 'pg';

interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** Runs a COPY … FROM STDIN over node-postgres, which has no public way to do it. */
export const copyRows = (client: pg.Client, statement: string, lines: readonly string[]): Promise<void> =>
  new Promise((resolve, reject) => {
    const copy = {
      submit: (connection: CopyConnection): void => connection.query(statement),
      handleCopyInResponse: (connection: CopyConnection): void => {
        connection.sendCopyFromChunk(Buffer.from(`${lines.join('\n')}\n`));
        connection.endCopyFrom();
      },
      handleCommandComplete: (): void => undefined,
      handleReadyForQuery: (): void => resolve(),
      handleError: (error: Error): void => reject(error),
    };
    client.query(copy as unknown as pg.Submittable);
  });

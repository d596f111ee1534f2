import type { Client, ClientConfig, Connection, Submittable } from 'pg';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import { connectDirect } from '../postgres/pool.ts';
import { PgoutputDecoder, postgresEpochMicros } from './decode-pgoutput.ts';
import type { Lsn } from './lsn.ts';
import type { PgoutputMessage } from './pgoutput-message.ts';

declare module 'pg' {
  interface ClientConfig {
    /** Makes the connection one of the streaming replication protocol, to one database. */
    replication?: 'database';
  }
  interface Client {
    /** Of the server's process. */
    readonly processID: number;
  }
  interface Connection {
    sendCopyFromChunk(chunk: Buffer): void;
  }
}

export interface ReplicationStreamOptions {
  /** Around pgbouncer. */
  readonly target: string | ClientConfig;
  readonly applicationName: string;
  readonly slot: string;
  readonly publications: readonly string[];
  /** Called with each message, in the order of commits. What it throws ends the stream. */
  readonly onMessage: (message: PgoutputMessage) => void;
  /** Called when the server has nothing more up to this position, of which the last commit may lie far behind. */
  readonly onIdle?: ((upTo: Lsn) => void) | undefined;
  /** How often positions are told to the server; 1 s by default. */
  readonly statusMs?: number;
  /** After which a silent connection is given up; 10 s by default. It is asked for a word after half of it. */
  readonly silenceMs?: number;
}

const walData = 0x77;
const keepalive = 0x6b;
const statusUpdate = 0x72;
/** `w`, the position of the message, the end of WAL, the time. */
const walDataHeader = 25;

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

interface StreamHandlers {
  readonly onData: (chunk: Buffer) => void;
  readonly onEnd: (error: Error | undefined) => void;
}

/** START_REPLICATION as a query of `pg`, which then hands over what the server copies. */
class StartReplication implements Submittable {
  readonly #command: string;
  readonly #handlers: StreamHandlers;

  constructor(command: string, handlers: StreamHandlers) {
    this.#command = command;
    this.#handlers = handlers;
  }

  submit(connection: Connection): void {
    connection.query(this.#command);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    this.#handlers.onData(chunk);
  }

  handleError(error: Error): void {
    this.#handlers.onEnd(error);
  }

  handleCommandComplete(): void {
    this.#handlers.onEnd(undefined);
  }

  handleReadyForQuery(): void {
    this.#handlers.onEnd(undefined);
  }
}

const ended = (): AppError => new AppError('DB_CONNECTION_ERROR', 'the server ended the change stream', {});

/**
 * The changes of a publication as a logical slot tells them: pgoutput, protocol version 1, over a connection of its own.
 * Positions told to the server are exactly those given to {@link confirm}, never what was merely received: after a lost
 * connection everything that was not confirmed comes again. It asks from 0/0, which is where the slot stands.
 *
 * Source: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Streaming Replication Protocol".
 */
export class ReplicationStream {
  /** Resolves when the stream is over: with why, or undefined after {@link stop}. */
  readonly ended: Promise<Error | undefined>;
  readonly #options: ReplicationStreamOptions;
  readonly #client: Client;
  readonly #decoder = new PgoutputDecoder();
  #end: (reason: Error | undefined) => void = () => undefined;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  #heardAt = performance.now();
  #paused = false;
  #received: Lsn = 0n;
  #confirmed: Lsn = 0n;

  private constructor(options: ReplicationStreamOptions, client: Client) {
    this.#options = options;
    this.#client = client;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /**
   * Begins to stream.
   * @throws the server's error: 55006 when somebody reads the slot, 42704 for an unknown slot, 55000 for one that is
   * lost or a publication that is missing; DB_CONNECTION_ERROR when the connection can't be made.
   */
  static async start(options: ReplicationStreamOptions): Promise<ReplicationStream> {
    const { target } = options;
    const config = typeof target === 'string' ? { connectionString: target } : { ...target, password: target.password };
    // Values come as text: in one form, whatever the server's settings are.
    const client = await connectDirect(
      { ...config, replication: 'database', options: '-c datestyle=ISO -c timezone=UTC -c extra_float_digits=1' },
      options.applicationName,
    );
    const stream = new ReplicationStream(options, client);
    await stream.#start();
    return stream;
  }

  /** The end of WAL that the server has told of. */
  get received(): Lsn {
    return this.#received;
  }

  /** The server's process at the other end. */
  get serverPid(): number {
    return this.#client.processID;
  }

  get confirmed(): Lsn {
    return this.#confirmed;
  }

  /** Lets the server forget everything up to this position; what lies behind an earlier one is left as it is. */
  confirm(position: Lsn): void {
    if (position > this.#confirmed) this.#confirmed = position;
  }

  /** Takes no more from the server, which then waits; positions are still told to it. */
  pause(): void {
    if (this.#paused || this.#over) return;
    this.#paused = true;
    this.#client.connection.stream.pause();
  }

  resume(): void {
    if (!this.#paused || this.#over) return;
    this.#paused = false;
    this.#heardAt = performance.now();
    this.#client.connection.stream.resume();
  }

  /** Tells the server what is confirmed, and ends the connection. */
  async stop(): Promise<void> {
    if (this.#over) return;
    this.#tell(false);
    this.#finish(undefined);
    // A paused stream would not hear of its end.
    this.#client.connection.stream.resume();
    await this.#client.end();
  }

  async #start(): Promise<void> {
    const { slot, publications, statusMs = 1_000 } = this.#options;
    const { connection } = this.#client;
    const names = quoteText(publications.map(quoteName).join(','));
    const options = `proto_version '1', publication_names ${names}, messages 'true'`;
    const command = `START_REPLICATION SLOT ${quoteName(slot)} LOGICAL 0/0 (${options})`;
    const started = new Promise<void>((resolve) => {
      connection.once('replicationStart', () => resolve());
    });
    this.#client.on('error', (error) => this.#fail(error));
    this.#client.on('end', () => this.#fail(ended()));
    // Postgres 18 only mentions a publication that is missing, and leaves its changes out.
    this.#client.on('notice', (notice) => {
      if (codeOf(notice) === '55000') this.#fail(Object.assign(new Error(notice.message), { code: '55000' }));
    });
    this.#client.query(
      new StartReplication(command, {
        onData: (chunk) => this.#take(chunk),
        onEnd: (error) => this.#fail(error ?? ended()),
      }),
    );
    const reason = await Promise.race([started, this.ended]);
    if (reason) throw reason;
    // It may have begun and ended in one go, as when a publication is missing.
    if (this.#over) throw (await this.ended) ?? ended();
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => this.#beat(), statusMs);
  }

  #take(chunk: Buffer): void {
    if (this.#over) return;
    this.#heardAt = performance.now();
    try {
      if (chunk[0] === walData) {
        this.#hear(chunk.readBigUInt64BE(9));
        const message = this.#decoder.decode(chunk, walDataHeader);
        if (message) this.#options.onMessage(message);
      } else if (chunk[0] === keepalive) {
        const upTo = chunk.readBigUInt64BE(1);
        this.#hear(upTo);
        this.#options.onIdle?.(upTo);
        if (chunk[17] === 1) this.#tell(false);
      }
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error('the change stream failed', { cause: error }));
    }
  }

  #hear(position: Lsn): void {
    if (position > this.#received) this.#received = position;
  }

  #beat(): void {
    const { silenceMs = 10_000 } = this.#options;
    const silentMs = this.#paused ? 0 : performance.now() - this.#heardAt;
    if (silentMs > silenceMs) {
      this.#fail(new AppError('TIMEOUT', 'the server of the change stream is silent', { timeoutMs: silenceMs }));
    } else {
      this.#tell(silentMs > silenceMs / 2);
    }
  }

  /** Standby status update: written, flushed and applied, the time, whether an answer is wanted. */
  #tell(asks: boolean): void {
    const message = Buffer.alloc(34);
    message[0] = statusUpdate;
    message.writeBigUInt64BE(this.#received > this.#confirmed ? this.#received : this.#confirmed, 1);
    message.writeBigUInt64BE(this.#confirmed, 9);
    message.writeBigUInt64BE(this.#confirmed, 17);
    message.writeBigInt64BE(BigInt(Date.now()) * 1_000n - postgresEpochMicros, 25);
    message[33] = asks ? 1 : 0;
    this.#client.connection.sendCopyFromChunk(message);
  }

  #fail(reason: Error): void {
    if (this.#over) return;
    this.#finish(reason);
    this.#client.connection.stream.destroy();
  }

  #finish(reason: Error | undefined): void {
    this.#over = true;
    clearInterval(this.#timer);
    this.#end(reason);
  }
}

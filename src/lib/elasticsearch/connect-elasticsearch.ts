import fs from 'node:fs/promises';
import type { Client, errors } from '@elastic/elasticsearch';
import { z } from 'zod';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import type { RemoteService } from '../resilience/remote-service.ts';
import type { RemoteServices } from '../resilience/remote-services.ts';
import { elasticsearchError, serviceName } from './elasticsearch-error.ts';

const requestTimeoutMs = 30_000;

/** Where an Elasticsearch is, as the configuration says it. */
export interface ElasticsearchAddress {
  readonly url: string;
  /** An API key, or a name with its password; neither for a server without security. */
  readonly credentials?:
    | { readonly apiKey: string }
    | { readonly username: string; readonly password: string }
    | undefined;
  /** A PEM file of the authority that signed the server's certificate; undefined leaves it to Node.js. */
  readonly ca?: string | undefined;
}

export interface ElasticsearchCallOptions {
  readonly signal?: AbortSignal | undefined;
}

type Send<T> = (client: Client, options: { readonly signal: AbortSignal }) => Promise<T>;

interface Opened {
  readonly client: Client;
  readonly errors: typeof errors;
}

const readAuthority = async (file: string): Promise<string> => {
  try {
    return await fs.readFile(file, 'utf8');
  } catch (error) {
    const message = `the file cannot be read (${codeOf(error) ?? 'unknown error'})`;
    const faults = [{ variable: 'ELASTICSEARCH_CA', message }];
    throw new AppError('CONFIGURATION_ERROR', `ELASTICSEARCH_CA: ${message}`, { faults }, { cause: error });
  }
};

const nodes = z.object({ nodes: z.record(z.string(), z.object({ version: z.string() })).default({}) });
const supported = new Set(['8', '9']);

/**
 * The way to one Elasticsearch: every request goes through a breaker, a bulkhead and a time-out of 30 s, and none is
 * repeated. The client is large and is loaded with the first request. Close it.
 */
export class Elasticsearch {
  readonly #address: ElasticsearchAddress;
  readonly #service: RemoteService;
  #opened: Promise<Opened> | undefined;

  constructor(address: ElasticsearchAddress, service: RemoteService) {
    this.#address = address;
    this.#service = service;
  }

  /**
   * @throws AppError of {@link RemoteService.call} and of {@link elasticsearchError}: none repeats what was sent or answered.
   */
  call<T>(send: Send<T>, { signal }: ElasticsearchCallOptions = {}): Promise<T> {
    return this.#service.call(
      async (own) => {
        const { client, errors: classes } = await this.#open();
        try {
          return await send(client, { signal: own });
        } catch (error) {
          throw elasticsearchError(classes, error);
        }
      },
      { signal },
    );
  }

  /**
   * Asks every node for its version, and answers it; the root page, where a client would look, is not open to everybody.
   * @throws AppError CONFIGURATION_ERROR unless all are 8 or 9, and of {@link call}.
   */
  async checkVersion(): Promise<string> {
    const answer = await this.call((client, options) =>
      client.nodes.info({ filter_path: ['nodes.*.version'] }, options),
    );
    const found = [...new Set(Object.values(nodes.parse(answer).nodes).map(({ version }) => version))];
    if (found.length > 0 && found.every((version) => supported.has(version.split('.', 1)[0] ?? ''))) {
      return found.join(', ');
    }
    const message = `Elasticsearch 8 or 9 is needed, and ${found.join(', ') || 'a server without a version'} answers`;
    throw new AppError('CONFIGURATION_ERROR', message, { faults: [{ variable: 'ELASTICSEARCH_URL', message }] });
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.client.close();
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#connect().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    });
    return this.#opened;
  }

  async #connect(): Promise<Opened> {
    const { url, credentials, ca } = this.#address;
    const tls = ca === undefined ? {} : { tls: { ca: await readAuthority(ca) } };
    const { Client: Connection, errors: classes } = await import('@elastic/elasticsearch');
    const client = new Connection({
      node: url,
      ...(credentials ? { auth: credentials } : {}),
      ...tls,
      requestTimeout: requestTimeoutMs,
      maxRetries: 0,
    });
    return { client, errors: classes };
  }
}

/** Opens the way to the Elasticsearch of a process; nothing is sent yet. */
export const connectElasticsearch = (address: ElasticsearchAddress, remote: RemoteServices): Elasticsearch =>
  new Elasticsearch(
    address,
    remote.open({ name: serviceName, timeoutMs: requestTimeoutMs, bulkhead: { max: 32, maxWaiting: 200 } }),
  );

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the double answers one request; without a word from the test it answers as the real service does. */
export type Behaviour =
  | { readonly kind: 'rate-limit'; readonly retryAfter?: string; readonly retryAfterMs?: string }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'slow'; readonly delayMs: number }
  | { readonly kind: 'cut' }
  | { readonly kind: 'cut-in-body' }
  | { readonly kind: 'dimensions'; readonly dimensions: number }
  | { readonly kind: 'too-few' }
  | { readonly kind: 'shuffled' }
  | { readonly kind: 'not-json' };

export interface EmbeddingRequest {
  readonly model: string;
  readonly input: readonly string[];
  readonly dimensions?: number;
  readonly encoding_format?: string;
}

const readBody = async (request: IncomingMessage): Promise<string> => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
};

/** A vector that depends on the text alone: each of its words adds a direction of its own. */
const vectorOf = (text: string, dimensions: number): number[] => {
  const sums = Array.from({ length: dimensions }, () => 0);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ['']) {
    const digest = createHash('sha256').update(word).digest();
    for (let index = 0; index < 16; index += 1) {
      const at = digest.readUInt16BE(index * 2) % dimensions;
      sums[at] = (sums[at] ?? 0) + ((digest[index] ?? 0) % 2 === 0 ? 1 : -1);
    }
  }
  const norm = Math.hypot(...sums) || 1;
  return sums.map((sum) => sum / norm);
};

/**
 * Speaks the wire format of OpenAI's `POST /v1/embeddings`, misbehaves as told, and counts what it was asked for. The
 * only double of a remote service in these tests.
 */
export class OpenAiServer {
  readonly requests: EmbeddingRequest[] = [];
  readonly apiKey = 'sk-test-double';
  /** Texts that the service refuses with 400, whatever comes with them. */
  readonly refusedTexts = new Set<string>();
  readonly #server: Server;
  readonly #next: Behaviour[] = [];
  #always: Behaviour | undefined;
  #held: (() => void)[] | undefined;

  constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    this.release();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  /** The next requests, one behaviour each. */
  behave(...behaviours: readonly Behaviour[]): void {
    this.#next.push(...behaviours);
  }

  /** Every request from now on, until it is called without one. */
  behaveAlways(behaviour?: Behaviour): void {
    this.#always = behaviour;
  }

  /** Lets requests wait unanswered until {@link release}. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const go of held) go();
  }

  reset(): void {
    this.release();
    this.requests.length = 0;
    this.refusedTexts.clear();
    this.#next.length = 0;
    this.#always = undefined;
  }

  /** How often each text was asked for. */
  get timesRequested(): ReadonlyMap<string, number> {
    const times = new Map<string, number>();
    for (const text of this.requests.flatMap((request) => request.input)) times.set(text, (times.get(text) ?? 0) + 1);
    return times;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    if (request.method !== 'POST' || request.url !== '/v1/embeddings') return fail(response, 404, 'unknown url');
    if (request.headers.authorization !== `Bearer ${this.apiKey}`) return fail(response, 401, 'incorrect API key');
    const parsed = JSON.parse(body) as EmbeddingRequest & { readonly input: string | readonly string[] };
    const asked = { ...parsed, input: typeof parsed.input === 'string' ? [parsed.input] : [...parsed.input] };
    this.requests.push(asked);
    if (this.#held) await new Promise<void>((resolve) => this.#held?.push(resolve));
    if (asked.input.some((text) => text === '' || this.refusedTexts.has(text))) {
      return fail(response, 400, "'$.input' is invalid");
    }
    await this.#misbehave(this.#next.shift() ?? this.#always, asked, response);
  }

  async #misbehave(behaviour: Behaviour | undefined, asked: EmbeddingRequest, response: ServerResponse): Promise<void> {
    switch (behaviour?.kind) {
      case 'rate-limit':
        if (behaviour.retryAfter !== undefined) response.setHeader('retry-after', behaviour.retryAfter);
        if (behaviour.retryAfterMs !== undefined) response.setHeader('retry-after-ms', behaviour.retryAfterMs);
        return fail(response, 429, 'Rate limit reached');
      case 'status':
        return fail(response, behaviour.status, 'as told');
      case 'slow':
        await new Promise((resolve) => setTimeout(resolve, behaviour.delayMs));
        return send(response, asked, {});
      case 'cut':
        response.destroy();
        return;
      case 'cut-in-body':
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100000' });
        response.write('{"object":"list","data":[');
        setImmediate(() => response.destroy());
        return;
      case 'not-json':
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>a proxy</html>');
        return;
      case 'dimensions':
        return send(response, asked, { dimensions: behaviour.dimensions });
      case 'too-few':
        return send(response, asked, { leaveOut: 1 });
      case 'shuffled':
        return send(response, asked, { reversed: true });
      case undefined:
        return send(response, asked, {});
    }
  }
}

const fail = (response: ServerResponse, status: number, message: string): void => {
  response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ error: { message, type: 'error', param: null, code: null } }));
};

const send = (
  response: ServerResponse,
  asked: EmbeddingRequest,
  { dimensions, leaveOut = 0, reversed = false }: { dimensions?: number; leaveOut?: number; reversed?: boolean },
): void => {
  const size = dimensions ?? asked.dimensions ?? 1_536;
  const data = asked.input
    .slice(0, asked.input.length - leaveOut)
    .map((text, index) => ({ object: 'embedding', index, embedding: vectorOf(text, size) }));
  if (reversed) data.reverse();
  const tokens = asked.input.join(' ').length >> 2;
  response.writeHead(200, { 'content-type': 'application/json' }).end(
    JSON.stringify({
      object: 'list',
      data,
      model: asked.model,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }),
  );
};

import { request } from 'node:http';

export interface EventClient {
  readonly status: number;
  readonly type: string | undefined;
  /** All that came so far. */
  text: string;
  readonly ended: Promise<void>;
  leave(): void;
}

export interface EventAddress {
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Follows an event stream over a real socket. */
export const openEvents = ({ port, path, headers = {} }: EventAddress): Promise<EventClient> =>
  new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', path, headers: { host: `localhost:${port}`, ...headers } };
    const call = request(options, (response) => {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const client: EventClient = {
        status: response.statusCode ?? 0,
        type: response.headers['content-type'],
        text: '',
        ended,
        leave: () => call.destroy(),
      };
      response.setEncoding('utf8').on('data', (part: string) => {
        client.text += part;
      });
      response.on('close', () => end());
      resolve(client);
    });
    call.on('error', reject).end();
  });

import { once } from 'node:events';
import net from 'node:net';

/** Stands between Treadle and a server, so that a test can take the server away from one and leave it to the others. */
export class TcpProxy {
  readonly #target: URL;
  readonly #sockets = new Set<net.Socket>();
  #port = 0;
  #server: net.Server | undefined;

  /** `url` is the server's; see {@link url} for the proxy's. */
  constructor(url: string) {
    this.#target = new URL(url);
  }

  /** The server's URL by way of the proxy. */
  get url(): string {
    const url = new URL(this.#target);
    url.host = `127.0.0.1:${this.#port}`;
    return url.href;
  }

  /** Begins, or begins again on the same port. */
  async open(): Promise<void> {
    const server = net.createServer((client) => {
      const { hostname, port } = this.#target;
      const upstream = net.connect({ host: hostname, port: Number(port) });
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined);
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
    this.#server = server;
  }

  /** Cuts every connection and refuses new ones. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

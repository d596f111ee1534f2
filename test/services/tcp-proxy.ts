import { once } from 'node:events';
import net from 'node:net';

/** Stands between Treadle and a server, so that a test can take the server away from one and leave it to the others. */
export class TcpProxy {
  readonly #target: URL;
  readonly #sockets = new Set<net.Socket>();
  #port = 0;
  #frozen = false;
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
        if (this.#frozen) from.pause();
      }
    });
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
    this.#server = server;
  }

  /** Lets nothing through any more, in connections old and new, and keeps them: as a server does that hangs. */
  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Goes on where it was frozen. */
  thaw(): void {
    this.#frozen = false;
    for (const socket of this.#sockets) socket.resume();
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

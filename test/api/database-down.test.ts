import { connect, createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createServer, type Server } from '../../src/api/server.ts';
import { loadConfig } from '../../src/lib/config/load-config.ts';
import { createLog } from '../../src/lib/log/create-log.ts';
import { createPlatform, type Platform } from '../../src/platform.ts';
import { useDatabase } from '../services/database.ts';

const database = useDatabase();
const sockets = new Set<Socket>();
let wire: TcpServer;
let port = 0;
let platform: Platform;
let server: Server;

/** Stands between Treadle and Postgres, so that it can be cut. */
const openWire = (target: URL): Promise<TcpServer> =>
  new Promise((resolve) => {
    const tcp = createTcpServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(socket);
        socket.on('error', () => other.destroy()).on('close', () => sockets.delete(socket));
        socket.pipe(other);
      }
    }).listen(port, '127.0.0.1', () => resolve(tcp));
  });
const cut = (): Promise<void> =>
  new Promise((resolve) => {
    wire.close(() => resolve());
    for (const socket of sockets) socket.destroy();
  });

const leaveOpen = (): Promise<void> => Promise.resolve();

const get = async (url: string) => {
  const { statusCode, payload } = await server.app.inject({ method: 'GET', url, headers: { host: 'localhost' } });
  return { status: statusCode, body: JSON.parse(payload) };
};

beforeAll(async () => {
  const target = new URL(database.url);
  wire = await openWire(target);
  const address = wire.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
  const url = new URL(database.url);
  url.host = `127.0.0.1:${port}`;
  const config = loadConfig({ DATABASE_URL: url.href, TREADLE_PORT: '0' });
  platform = await createPlatform(config, createLog({ level: 'silent' }), {
    url: url.href,
    directUrl: url.href,
    embedded: false,
    close: leaveOpen,
  });
  server = await createServer(platform);
});
afterAll(async () => {
  await server?.close();
  await platform?.close();
  await cut();
});

test('without Postgres every route says so, the process stays alive, and it goes on by itself afterwards', async () => {
  expect((await get('/v1/jobs')).status).toBe(200);
  await cut();
  const refused = await get('/v1/jobs');
  expect(refused.status).toBe(503);
  expect(refused.body.error.code).toBe('DB_CONNECTION_ERROR');
  expect(JSON.stringify(refused.body)).not.toContain(String(port));
  expect(await get('/health/ready')).toEqual({
    status: 503,
    body: { status: 'not-ready', checks: { postgres: 'unreachable' } },
  });
  expect((await get('/health/live')).status).toBe(200);
  wire = await openWire(new URL(database.url));
  const deadline = Date.now() + 10_000;
  while ((await get('/v1/jobs')).status !== 200 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect((await get('/v1/jobs')).status).toBe(200);
  expect((await get('/health/ready')).status).toBe(200);
});

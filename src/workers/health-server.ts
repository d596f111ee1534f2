import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { withTimeout } from '../lib/batching/with-timeout.ts';
import { AppError } from '../lib/errors/app-error.ts';
import { codeOf } from '../lib/errors/classify.ts';
import type { LoopWatch } from '../lib/health/loop-watch.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import type { RunningRole } from './running-role.ts';

export interface HealthParts {
  readonly loops: LoopWatch;
  readonly postgres: Queryable;
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

const checkTimeoutMs = 2_000;

const liveness = ({ loops }: HealthParts): Answer => {
  const report = loops.report();
  const alive = report.every((loop) => loop.alive);
  return { status: alive ? 200 : 503, body: { status: alive ? 'alive' : 'stuck', loops: report } };
};

const readiness = async ({ postgres }: HealthParts): Promise<Answer> => {
  const ready = await withTimeout(postgres.query('SELECT 1'), checkTimeoutMs, 'Postgres').then(
    () => true,
    () => false,
  );
  return {
    status: ready ? 200 : 503,
    body: { status: ready ? 'ready' : 'not-ready', checks: { postgres: ready ? 'ok' : 'unreachable' } },
  };
};

const notFound: Answer = {
  status: 404,
  body: { error: { code: 'NOT_FOUND', message: 'there are /health/live and /health/ready here', details: {} } },
};

const answerTo = async (url: string | undefined, parts: HealthParts): Promise<Answer> => {
  const path = url?.split('?', 1)[0];
  if (path === '/health/live') return liveness(parts);
  return path === '/health/ready' ? readiness(parts) : notFound;
};

const send = (response: ServerResponse, { status, body }: Answer): void => {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
};

const listen = async (server: Server, host: string, port: number): Promise<void> => {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const message =
      codeOf(error) === 'EADDRINUSE'
        ? `is ${port}, which another process listens on`
        : `is ${port}, which cannot be listened on`;
    const faults = [{ variable: 'TREADLE_HEALTH_PORT', message }];
    throw new AppError('CONFIGURATION_ERROR', `TREADLE_HEALTH_PORT ${message}`, { faults }, { cause: error });
  }
};

/**
 * Answers `/health/live` and `/health/ready` as the API does, for processes that have none. Says nothing but whether they
 * are well, so it asks for no key.
 * @throws AppError CONFIGURATION_ERROR naming TREADLE_HEALTH_PORT when the port cannot be used.
 */
export const startHealthServer = async (
  parts: HealthParts,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<RunningRole & { readonly url: string }> => {
  const server = createServer((request, response) => {
    void answerTo(request.url, parts).then((answer) => send(response, answer));
  });
  await listen(server, host, port);
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
};

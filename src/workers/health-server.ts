import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { KeyService } from '../domain/access/service.ts';
import { withTimeout } from '../lib/batching/with-timeout.ts';
import { AppError } from '../lib/errors/app-error.ts';
import { codeOf, toAppError } from '../lib/errors/classify.ts';
import type { LoopWatch } from '../lib/health/loop-watch.ts';
import type { Queryable } from '../lib/postgres/queryable.ts';
import { metricsContentType, type Meter } from '../lib/telemetry/meter.ts';
import { checkScraper } from './check-scraper.ts';
import type { RunningRole } from './running-role.ts';

export interface HealthParts {
  readonly loops: LoopWatch;
  readonly postgres: Queryable;
  readonly meter: Meter;
  readonly keys: KeyService;
}

interface Answer {
  readonly status: number;
  /** An object is answered as JSON. */
  readonly body: object | string;
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
  body: {
    error: { code: 'NOT_FOUND', message: 'there are /health/live, /health/ready and /metrics here', details: {} },
  },
};

const metrics = async ({ meter, keys }: HealthParts, host: string, headers: IncomingHttpHeaders): Promise<Answer> => {
  try {
    await checkScraper(keys, host, headers);
    return { status: 200, body: await meter.expose() };
  } catch (error) {
    const { status, code, message, details } = toAppError(error);
    return { status, body: { error: { code, message, details } } };
  }
};

const answerTo = async ({ url, headers }: IncomingMessage, host: string, parts: HealthParts): Promise<Answer> => {
  switch (url?.split('?', 1)[0] ?? '') {
    case '/health/live':
      return liveness(parts);
    case '/health/ready':
      return readiness(parts);
    case '/metrics':
      return metrics(parts, host, headers);
    default:
      return notFound;
  }
};

const send = (response: ServerResponse, { status, body }: Answer): void => {
  const type = typeof body === 'string' ? metricsContentType : 'application/json; charset=utf-8';
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
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
 * Answers `/health/live`, `/health/ready` and `/metrics` as the API does, for processes that have none. The first two say
 * nothing but whether the process is well, so they ask for no key.
 * @throws AppError CONFIGURATION_ERROR naming TREADLE_HEALTH_PORT when the port cannot be used.
 */
export const startHealthServer = async (
  parts: HealthParts,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<RunningRole & { readonly url: string }> => {
  const server = createServer((request, response) => {
    void answerTo(request, host, parts).then((answer) => send(response, answer));
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

import { createBullBoard } from '@bull-board/api';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyPluginCallback } from 'fastify';
import { z } from 'zod';
import { may } from '../../domain/access/types.ts';
import { needsInBrowser } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { createBoardError } from './board-error.ts';
import type { BoardSource } from './board-source.ts';
import { LedgerSource } from './ledger-source.ts';
import { TreadleQueueAdapter } from './queue-adapter.ts';

const uiConfig = {
  boardTitle: 'Treadle',
  hideDocsLink: true,
  // Its button shows the sign of Redis whatever is behind the board.
  hideRedisDetails: true,
  sortQueues: true,
  showMetrics: false,
  miscLinks: [
    { text: 'Search', url: '/search' },
    { text: 'API', url: '/docs' },
    { text: 'Log out', url: '/login' },
  ],
};

/** The page links a font host; the policy would keep the browser from asking it, and so does this, without a complaint. */
const withoutRemoteStyles = (html: string): string => html.replaceAll(/<link\b[^>]*href="https?:[^>]*>/g, '');

const queuesAnswer = z.looseObject({ queues: z.array(z.looseObject({})) });

/** Bull Board shows no buttons for queues that are read-only; who presses one all the same is refused. */
const withoutButtons = (json: string): string => {
  const answer = queuesAnswer.safeParse(JSON.parse(json));
  if (!answer.success) return json;
  const queues = answer.data.queues.map((queue) => ({ ...queue, readOnlyMode: true, allowRetries: false }));
  return JSON.stringify({ ...answer.data, queues });
};

/** Bull Board at `/board`, over Treadle's own adapter. Queues appear as they come into being. */
export const addBoard = async (app: Api, { platform }: RouteParts, others: readonly BoardSource[]): Promise<void> => {
  const ledger = new LedgerSource(platform.jobs, platform.queues);
  const serverAdapter = new FastifyAdapter().setBasePath('/board');
  const board = createBullBoard({ queues: [], serverAdapter, options: { uiConfig } });
  serverAdapter.setErrorHandler(createBoardError(platform.config.http.maxBodyBytes));
  const adapters = new Map<string, TreadleQueueAdapter>();

  const refreshQueues = async (): Promise<void> => {
    const names = (await ledger.summaries()).map(({ name }) => name);
    for (const name of names) {
      if (!adapters.has(name)) adapters.set(name, new TreadleQueueAdapter(name, platform, ledger, others));
    }
    board.replaceQueues(names.flatMap((name) => adapters.get(name) ?? []));
  };

  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      const reads = [route.method].flat().every((method) => method === 'GET' || method === 'HEAD');
      route.config = { ...route.config, ...needsInBrowser(reads ? 'jobs:read' : 'queues:admin') };
    });
    scope.addHook('preHandler', async (request) => {
      if (request.routeOptions.url?.startsWith('/board/api/')) await refreshQueues();
    });
    scope.addHook('onSend', async (request, _reply, payload) => {
      if (typeof payload !== 'string') return payload;
      if (payload.startsWith('<!DOCTYPE html')) return withoutRemoteStyles(payload);
      const readsOnly = request.principal !== undefined && !may(request.principal, 'queues:admin');
      return readsOnly && request.routeOptions.url === '/board/api/queues' ? withoutButtons(payload) : payload;
    });
    const plugin: FastifyPluginCallback = serverAdapter.registerPlugin();
    await scope.register(plugin, { prefix: '/board' });
  });
};

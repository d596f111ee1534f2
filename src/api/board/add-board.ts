import { createBullBoard } from '@bull-board/api';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyPluginCallback } from 'fastify';
import { needsInBrowser } from '../access/route-access.ts';
import type { Api, RouteParts } from '../api.ts';
import { createBoardError } from './board-error.ts';
import type { BoardSource } from './board-source.ts';
import { LedgerSource } from './ledger-source.ts';
import { TreadleQueueAdapter } from './queue-adapter.ts';

const uiConfig = {
  boardTitle: 'Treadle',
  hideDocsLink: true,
  sortQueues: true,
  showMetrics: false,
  miscLinks: [
    { text: 'API', url: '/docs' },
    { text: 'Log out', url: '/login' },
  ],
};

/** The page links a font host; the policy would keep the browser from asking it, and so does this, without a complaint. */
const withoutRemoteStyles = (html: string): string => html.replaceAll(/<link\b[^>]*href="https?:[^>]*>/g, '');

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
      route.config = { ...route.config, ...needsInBrowser('queues:admin') };
    });
    scope.addHook('preHandler', async (request) => {
      if (request.routeOptions.url?.startsWith('/board/api/')) await refreshQueues();
    });
    scope.addHook('onSend', async (_request, _reply, payload) =>
      typeof payload === 'string' && payload.startsWith('<!DOCTYPE html') ? withoutRemoteStyles(payload) : payload,
    );
    const plugin: FastifyPluginCallback = serverAdapter.registerPlugin();
    await scope.register(plugin, { prefix: '/board' });
  });
};

import path from 'node:path';
import { loadConfig } from '../src/lib/config/load-config.ts';
import { ownServer } from '../src/lib/embedded/own-server.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { Shutdown } from '../src/lib/shutdown/shutdown.ts';
import { findElasticsearch } from '../test/services/elasticsearch-service.ts';
import { findRedis } from '../test/services/redis-service.ts';
import { RedisServer } from '../test/services/redis-server.ts';

// Starts the servers that docker-compose.yml would, without Docker, until Ctrl-C. Postgres keeps its data in
// `.treadle/services`; Redis and Elasticsearch keep nothing.
const log = createLog({ level: 'warn' });
const shutdown = new Shutdown({ log, graceMs: 10_000 });
try {
  const dataDir = path.join(loadConfig(process.env).dataDir, 'services');
  const postgres = await shutdown.start(
    'postgres',
    (signal) => ownServer({ dataDir, log, signal }),
    (server) => server.close(),
  );
  console.log(`export DATABASE_URL=${postgres.url}`);
  const redis = await findRedis();
  if ('missing' in redis) console.error(`# no Redis: ${redis.missing}`);
  else if (redis.source.kind === 'server') {
    shutdown.onClose('redis', () => redis.stop());
    console.log(`export REDIS_URL=${redis.source.url}`);
  } else {
    const { program } = redis.source;
    const server = await shutdown.start(
      'redis',
      () => RedisServer.start(program),
      (started) => started.stop(),
    );
    console.log(`export REDIS_URL=${server.url}`);
  }
  const elasticsearch = await shutdown.start('elasticsearch', findElasticsearch, async (found) => {
    if ('stop' in found) await found.stop();
  });
  if ('missing' in elasticsearch) console.error(`# no Elasticsearch: ${elasticsearch.missing}`);
  else console.log(`export ELASTICSEARCH_URL=${elasticsearch.url}`);
  console.error('# Ctrl-C ends them.');
  const keepAlive = setInterval(() => undefined, 60_000);
  shutdown.onClose('wait', () => clearInterval(keepAlive));
} catch (error) {
  if (!shutdown.signal.aborted) log.error({ event: 'services.failed', err: error });
  shutdown.begin('failed', 1);
}

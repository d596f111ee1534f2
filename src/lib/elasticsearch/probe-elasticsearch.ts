import type { Log } from '../log/create-log.ts';
import { RateLimits } from '../resilience/rate-limits.ts';
import { RemoteServices } from '../resilience/remote-services.ts';
import { Meter } from '../telemetry/meter.ts';
import { connectElasticsearch, type ElasticsearchAddress } from './connect-elasticsearch.ts';

const unlimited = { query: () => Promise.reject(new Error('nothing is counted')) };

/** The version of the Elasticsearch at an address. @throws AppError as `Elasticsearch.checkVersion`. */
export const probeElasticsearch = async (address: ElasticsearchAddress, log: Log): Promise<string> => {
  const limits = new RateLimits({ redis: undefined, postgres: { ...unlimited, queryPrepared: unlimited.query }, log });
  const remote = new RemoteServices({ meter: new Meter(log), log, limits });
  const elasticsearch = connectElasticsearch(address, remote);
  try {
    return await elasticsearch.checkVersion();
  } finally {
    await elasticsearch.close();
    await remote.close();
  }
};

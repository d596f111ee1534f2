import { startInDocker } from './docker.ts';
import { findElasticsearchProgram, missingElasticsearch } from './elasticsearch-program.ts';
import { ElasticsearchServer } from './elasticsearch-server.ts';
import type { MissingService, Service } from './service.ts';

/** ELASTICSEARCH_URL, else the one of Maven Central, else Docker. */
export const findElasticsearch = async (): Promise<Service | MissingService> => {
  const url = process.env['ELASTICSEARCH_URL'];
  if (url) return { url, origin: `ELASTICSEARCH_URL (${new URL(url).host})`, stop: () => Promise.resolve() };
  const program = await findElasticsearchProgram();
  if (program) {
    const server = await ElasticsearchServer.start(program);
    return { url: server.url, origin: program.origin, stop: () => server.stop() };
  }
  const container = await startInDocker({
    service: 'elasticsearch',
    port: 9_200,
    environment: {
      'discovery.type': 'single-node',
      'xpack.security.enabled': 'false',
      'xpack.ml.enabled': 'false',
      ES_JAVA_OPTS: '-Xms512m -Xmx512m',
    },
    command: [],
    ready: ['curl', '--silent', '--fail', 'http://127.0.0.1:9200/_cluster/health?wait_for_status=yellow&timeout=2s'],
    url: (address) => `http://${address}`,
  });
  return container ?? { missing: missingElasticsearch };
};

import path from 'node:path';
import { freePort, RedisServer } from './redis-server.ts';

/** For 127.0.0.1 and localhost, valid until 2120, its own authority, and known to nobody else. */
export const testCertificate = path.join(import.meta.dirname, 'tls/certificate.pem');
export const testKey = path.join(import.meta.dirname, 'tls/key.pem');

/** The arguments with which a server listens with TLS too; `clients`: whether these must show a certificate. */
export const tlsArguments = (port: number, clients: 'yes' | 'no'): readonly string[] => [
  '--tls-port',
  String(port),
  '--tls-auth-clients',
  clients,
  '--tls-cert-file',
  testCertificate,
  '--tls-key-file',
  testKey,
  '--tls-ca-cert-file',
  testCertificate,
];

/** The same for a node of a Cluster, whose nodes talk to each other with TLS as well. */
export const tlsNodeArguments = (port: number): readonly string[] => [
  ...tlsArguments(port, 'no'),
  '--tls-cluster',
  'yes',
];

/** A server that also listens with TLS. */
export const startTlsServer = async (
  program: string,
  { clients }: { readonly clients: 'yes' | 'no' },
): Promise<{ readonly server: RedisServer; readonly url: string }> => {
  const port = await freePort();
  const server = await RedisServer.start(program, { args: tlsArguments(port, clients) });
  return { server, url: `rediss://127.0.0.1:${port}` };
};

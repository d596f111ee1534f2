import { BlockList, isIP } from 'node:net';
import { AppError } from '../errors/app-error.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether a host name or address means this machine and nothing else. */
export const isLoopbackHost = (host: string): boolean => {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  if (bare === 'localhost') return true;
  const family = isIP(bare);
  return family !== 0 && loopback.check(bare, family === 4 ? 'ipv4' : 'ipv6');
};

const hostNameOf = (hostHeader: string): string | undefined => {
  const url = `http://${hostHeader}`;
  return /^[\w.:[\]-]+$/.test(hostHeader) && URL.canParse(url) ? new URL(url).hostname : undefined;
};

/**
 * Refuses what a page of another site could make a browser on this machine send while no keys are asked for: a foreign
 * name that resolves to this machine (DNS rebinding), and requests from another origin.
 * @throws AppError FORBIDDEN.
 */
export const checkLocalRequest = (headers: {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
}): void => {
  const name = headers.host === undefined ? undefined : hostNameOf(headers.host);
  if (name === undefined || !isLoopbackHost(name)) {
    throw new AppError(
      'FORBIDDEN',
      'without keys the API answers only to localhost: the Host header names another',
      {},
    );
  }
  if (headers.origin !== undefined && headers.origin.toLowerCase() !== `http://${headers.host?.toLowerCase()}`) {
    throw new AppError('FORBIDDEN', 'without keys the API answers no other origin', {});
  }
};

/**
 * Refuses a request that carries a browser's login but comes from another site's page.
 * @throws AppError FORBIDDEN.
 */
export const checkSameOrigin = (headers: {
  readonly host?: string | undefined;
  readonly origin?: string | undefined;
  readonly 'sec-fetch-site'?: string | undefined;
}): void => {
  const site = headers['sec-fetch-site'];
  if (site === 'same-origin' || site === 'none') return;
  const sameHost =
    headers.origin !== undefined &&
    URL.canParse(headers.origin) &&
    new URL(headers.origin).host === headers.host?.toLowerCase();
  if (site === undefined && (headers.origin === undefined || sameHost)) return;
  throw new AppError('FORBIDDEN', 'the request comes from another site', {});
};

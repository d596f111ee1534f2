/**
 * A key of one thing, with a hash tag of its own, so that all its keys lie on one node of a Cluster. Whatever the id
 * contains: braces, spaces and line ends are percent-encoded.
 */
export const redisKey = (kind: string, id: string, part?: string): string =>
  `{treadle:${kind}:${encodeURIComponent(id)}}${part === undefined ? '' : `:${part}`}`;

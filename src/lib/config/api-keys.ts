import { z } from 'zod';

/** A key given by the environment: its name, the hex SHA-256 of the secret, and its scopes. */
export interface ConfiguredKey {
  readonly name: string;
  readonly sha256: string;
  readonly scopes: readonly string[];
}

/** Parses `name:sha256:scope+scope`, several separated by commas. */
export const parseApiKeys = z.string().transform((text, context): readonly ConfiguredKey[] => {
  const keys: ConfiguredKey[] = [];
  for (const part of text
    .split(',')
    .map((piece) => piece.trim())
    .filter(Boolean)) {
    const match = /^([\w-]+):([0-9a-fA-F]{64}):([a-z:+-]+)$/.exec(part);
    if (match?.[1] === undefined || match[2] === undefined || match[3] === undefined) {
      context.addIssue({ code: 'custom', message: `entry ${keys.length + 1} must look like name:sha256:scope+scope` });
      return z.NEVER;
    }
    keys.push({ name: match[1], sha256: match[2].toLowerCase(), scopes: match[3].split('+') });
  }
  return keys;
});

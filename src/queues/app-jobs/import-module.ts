import fs from 'node:fs/promises';
import { registerHooks } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { withTimeout } from '../../lib/batching/with-timeout.ts';
import { AppError } from '../../lib/errors/app-error.ts';
import { codeOf } from '../../lib/errors/classify.ts';

const patienceMs = 30_000;

const isPath = (name: string): boolean => name.startsWith('.') || path.isAbsolute(name) || /\.[cm]?[jt]s$/.test(name);

const faultOfFile = async (file: string): Promise<string | undefined> => {
  const found = await fs.stat(file).catch(() => undefined);
  if (!found) return `there is no file ${file}`;
  return found.isFile() ? undefined : 'is not a file: name the module in it';
};

/** As an import in a file of `folder` would find it. */
const importPackage = async (name: string, folder: string): Promise<unknown> => {
  const parentURL = pathToFileURL(path.join(folder, 'package.json')).href;
  const hooks = registerHooks({
    resolve: (specifier, context, next) => next(specifier, specifier === name ? { ...context, parentURL } : context),
  });
  try {
    return await import(name);
  } finally {
    hooks.deregister();
  }
};

/** `src` of a checkout, `dist` of the package. */
const ownFolder = path.resolve(import.meta.dirname, '../..');
const isOfApp = (place: string): boolean => !place.startsWith(ownFolder) && !place.includes('/node_modules/');

/** Where an error came up: syntax errors name the place before their message, others in their frames, deep ones first. */
const placeOf = ({ stack = '' }: Error, folder: string): string => {
  const beforeMessage = /^(?:file:\/\/)?(\/.*:\d+)\n/.exec(stack)?.[1];
  const frames = [...stack.matchAll(/\bfile:\/\/(\/[^\s)]*:\d+):\d+\)?$/gm)].flatMap((match) => match[1] ?? []);
  const place = beforeMessage ?? frames.find(isOfApp) ?? frames[0];
  return place === undefined ? '' : ` (${path.relative(folder, place)})`;
};

const reasonOf = (error: unknown, folder: string): string => {
  if (!(error instanceof Error)) return 'throws something that is not an Error while it loads';
  const code = codeOf(error);
  if (code === 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING')
    return 'is TypeScript in node_modules, where Node runs JavaScript only: build it first';
  if (error instanceof SyntaxError) return `has a syntax error: ${error.message}${placeOf(error, folder)}`;
  if (code?.startsWith('ERR_') === true) return error.message;
  if (error instanceof AppError && error.code === 'TIMEOUT')
    return `has not loaded within ${patienceMs / 1_000} s: does it wait for something?`;
  return `throws while it loads: ${error.message}${placeOf(error, folder)}`;
};

export type Imported = { readonly module: object } | { readonly reason: string; readonly cause: unknown };

/** Loads a module by its path or package name, both as seen from `folder`, or answers in words why it cannot be. */
export const importModule = async (name: string, folder: string): Promise<Imported> => {
  const file = isPath(name) ? path.resolve(folder, name) : undefined;
  const reason = file === undefined ? undefined : await faultOfFile(file);
  if (reason !== undefined) return { reason, cause: undefined };
  const importing: Promise<unknown> =
    file === undefined ? importPackage(name, folder) : import(pathToFileURL(file).href);
  try {
    const module = await withTimeout(importing, patienceMs, name);
    if (typeof module === 'object' && module !== null) return { module };
    return { reason: 'is not a module', cause: undefined };
  } catch (cause) {
    return { reason: reasonOf(cause, folder), cause };
  }
};

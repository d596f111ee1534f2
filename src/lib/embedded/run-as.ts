import { spawnSync } from 'node:child_process';
import { lchownSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { AppError } from '../errors/app-error.ts';
import type { Binaries } from './binaries.ts';

/** How Postgres' programs are started. They refuse to run as root, so root needs a detour. */
export interface RunAs {
  readonly name: 'user' | 'namespace' | 'capabilities' | 'other-user';
  readonly prefix: readonly string[];
  readonly spawnOptions: { readonly uid?: number; readonly gid?: number };
  /** Who must own the data. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

const nobody = process.platform === 'darwin' ? 4_294_967_294 : 65_534;

const asNamespace: RunAs = {
  name: 'namespace',
  prefix: ['unshare', '--user', `--map-user=${nobody}`, `--map-group=${nobody}`],
  spawnOptions: {},
  owner: { uid: 0, gid: 0 },
};

const withCapabilities = (uid: number, gid: number): RunAs => ({
  name: 'capabilities',
  prefix: [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
  ],
  spawnOptions: {},
  owner: { uid, gid },
});

const asOtherUser = (uid: number, gid: number): RunAs => ({
  name: 'other-user',
  prefix: [],
  spawnOptions: { uid, gid },
  owner: { uid, gid },
});

export const commandOf = (
  runAs: RunAs,
  program: string,
  args: readonly string[],
): { readonly file: string; readonly args: readonly string[] } => {
  const [file = program, ...rest] = [...runAs.prefix, program, ...args];
  return { file, args: rest };
};

/** Gives the tree to whom Postgres will run as; files owned by anybody else would stop it. */
export const giveTo = (runAs: RunAs, tree: string): void => {
  const { owner } = runAs;
  if (!owner || statSync(tree).uid === owner.uid) return;
  for (const entry of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    lchownSync(path.join(tree, entry), owner.uid, owner.gid);
  }
  lchownSync(tree, owner.uid, owner.gid);
};

const works = (runAs: RunAs, binaries: Binaries, folder: string): boolean => {
  const probe = '"$0" --version >/dev/null 2>&1 && cd "$1"';
  const { file, args } = commandOf(runAs, '/bin/sh', ['-c', probe, binaries.postgres, folder]);
  return spawnSync(file, [...args], { stdio: 'ignore', ...runAs.spawnOptions }).status === 0;
};

/**
 * How to run Postgres here: as we are, or for root the first of three ways that works: a user namespace in which root is
 * somebody else, another user that may pass closed folders, another user. Data that an ordinary user owns stays theirs.
 * `parent` is the folder the data lies in, `data` the data itself once there is some.
 * @throws AppError CONFIGURATION_ERROR when root has no way.
 */
export const chooseRunAs = (binaries: Binaries, parent: string, data: string): RunAs => {
  if (process.geteuid?.() !== 0) return { name: 'user', prefix: [], spawnOptions: {}, owner: undefined };
  const present = statSync(data, { throwIfNoEntry: false });
  const ways =
    present && present.uid !== 0
      ? [withCapabilities(present.uid, present.gid), asOtherUser(present.uid, present.gid)]
      : [asNamespace, withCapabilities(nobody, nobody), asOtherUser(nobody, nobody)];
  const way = ways.find((candidate) => works(candidate, binaries, parent));
  if (way) return way;
  throw new AppError(
    'CONFIGURATION_ERROR',
    `Postgres refuses to run as root, and no other user can reach ${binaries.postgres} and ${parent}: ` +
      'run Treadle as an ordinary user, put TREADLE_DATA_DIR and the installation where every user can reach them, or set DATABASE_URL',
    { faults: [{ variable: 'TREADLE_DATA_DIR', message: 'is out of reach of the user Postgres must run as' }] },
  );
};

import { spawnSync } from 'node:child_process';
import { lchownSync, readdirSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { AppError } from '../errors/app-error.ts';

/** How Postgres' programs are started. They refuse to run as root, so root needs a detour. */
export interface RunAs {
  readonly name: 'user' | 'namespace' | 'capabilities' | 'other-user';
  readonly prefix: readonly string[];
  readonly spawnOptions: { readonly uid?: number; readonly gid?: number };
  /** Who must own the data. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

const nobody = process.platform === 'darwin' ? 4_294_967_294 : 65_534;

const asOurselves: RunAs = { name: 'user', prefix: [], spawnOptions: {}, owner: undefined };

const asNamespace = (owner: RunAs['owner']): RunAs => ({
  name: 'namespace',
  prefix: ['unshare', '--user', `--map-user=${nobody}`, `--map-group=${nobody}`],
  spawnOptions: {},
  owner,
});

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

/** Gives a file, or a folder with all that is in it, to whom Postgres will run as; anybody else's would stop it. */
export const giveTo = (runAs: RunAs, place: string): void => {
  const { owner } = runAs;
  const present = statSync(place);
  if (!owner || present.uid === owner.uid) return;
  const entries = present.isDirectory() ? readdirSync(place, { recursive: true, encoding: 'utf8' }) : [];
  for (const entry of entries) lchownSync(path.join(place, entry), owner.uid, owner.gid);
  lchownSync(place, owner.uid, owner.gid);
};

const works = (runAs: RunAs, program: string, folder: string): boolean => {
  const probe = '"$0" --version >/dev/null 2>&1 && cd "$1"';
  const { file, args } = commandOf(runAs, '/bin/sh', ['-c', probe, program, folder]);
  return spawnSync(file, [...args], { stdio: 'ignore', ...runAs.spawnOptions }).status === 0;
};

const hasName = (): boolean => {
  try {
    return userInfo().username !== '';
  } catch {
    return false;
  }
};

/** initdb asks for the user's name, which users that a container was started with often do not have. */
const chooseForUser = (program: string, parent: string): RunAs => {
  const named = asNamespace(undefined);
  return hasName() || !works(named, program, parent) ? asOurselves : named;
};

/**
 * How to run Postgres here: as we are, or for root the first of three ways that works: a user namespace in which root is
 * somebody else, another user that may pass closed folders, another user. Data that an ordinary user owns stays theirs.
 * `program` answers
 * `--version`, `parent` is the folder the data lies in, `data` the data itself once there is some.
 * @throws AppError CONFIGURATION_ERROR when root has no way.
 */
export const chooseRunAs = (program: string, parent: string, data: string): RunAs => {
  if (process.geteuid?.() !== 0) return chooseForUser(program, parent);
  const present = statSync(data, { throwIfNoEntry: false });
  const ways =
    present && present.uid !== 0
      ? [withCapabilities(present.uid, present.gid), asOtherUser(present.uid, present.gid)]
      : [asNamespace({ uid: 0, gid: 0 }), withCapabilities(nobody, nobody), asOtherUser(nobody, nobody)];
  const way = ways.find((candidate) => works(candidate, program, parent));
  if (way) return way;
  throw new AppError(
    'CONFIGURATION_ERROR',
    `Postgres refuses to run as root, and no other user can reach ${program} and ${parent}: ` +
      'run Treadle as an ordinary user, put TREADLE_DATA_DIR and the installation where every user can reach them, or set DATABASE_URL',
    { faults: [{ variable: 'TREADLE_DATA_DIR', message: 'is out of reach of the user Postgres must run as' }] },
  );
};

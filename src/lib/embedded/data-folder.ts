import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import { postgresMajor } from './binaries.ts';

/** What lies where in Treadle's data folder. */
export interface DataFolder {
  /** As the user named it, for messages. */
  readonly dataDir: string;
  /** Everything of the embedded server; made in one step by a rename, so it is whole or absent. */
  readonly root: string;
  /** Postgres' own folder. */
  readonly data: string;
  readonly password: string;
  readonly port: string;
  readonly log: string;
}

export const superuser = 'treadle';

export const folderUnder = (dataDir: string, root = path.join(dataDir, 'postgres')): DataFolder => ({
  dataDir,
  root,
  data: path.join(root, 'data'),
  password: path.join(root, 'password'),
  port: path.join(root, 'port'),
  log: path.join(root, 'server.log'),
});

/** A fault of the folder that TREADLE_DATA_DIR names. */
export const folderFault = (dataDir: string, problem: string, cause?: unknown): AppError =>
  new AppError(
    'CONFIGURATION_ERROR',
    `the data folder ${dataDir} (TREADLE_DATA_DIR) ${problem}`,
    { faults: [{ variable: 'TREADLE_DATA_DIR', message: problem }] },
    { cause },
  );

const refusals: Readonly<Record<string, string>> = {
  EACCES: 'may not be read and written by this user',
  EPERM: 'may not be read and written by this user',
  EROFS: 'lies on a read-only file system',
  ENOTDIR: 'is not a folder',
  EEXIST: 'is not a folder',
  ENOSPC: 'lies on a file system without free space',
};

/** Runs `work` on the folder's files; what the file system refuses becomes CONFIGURATION_ERROR naming the folder. */
export const onFolder = async <T>(dataDir: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    const problem = refusals[codeOf(error) ?? ''];
    throw problem === undefined ? error : folderFault(dataDir, problem, error);
  }
};

/** A file's text, or undefined where there is none. */
export const readIfThere = async (file: string): Promise<string | undefined> => {
  try {
    return await fs.readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};

/**
 * Whether the folder holds a server's data. False means there is none yet.
 * @throws AppError CONFIGURATION_ERROR when what is there belongs to another major version, or has lost files.
 */
export const holdsServer = (folder: DataFolder): Promise<boolean> =>
  onFolder(folder.dataDir, async () => {
    const entries = await fs.readdir(folder.root).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (entries === undefined || entries.length === 0) return false;
    const damaged = (file: string) =>
      folderFault(
        folder.dataDir,
        `holds a damaged database: ${file} is missing or empty. Restore the folder from a backup, or remove it to begin anew`,
      );
    const version = (await readIfThere(path.join(folder.data, 'PG_VERSION')))?.trim();
    if (!version) throw damaged(path.join(folder.data, 'PG_VERSION'));
    if (version !== postgresMajor) {
      throw folderFault(
        folder.dataDir,
        `holds a database of Postgres ${version}, and this Treadle brings Postgres ${postgresMajor}: ` +
          `dump it with Postgres ${version} and restore it into a new folder`,
      );
    }
    const control = await fs.stat(path.join(folder.data, 'global', 'pg_control')).catch(() => undefined);
    if (!control || control.size === 0) throw damaged(path.join(folder.data, 'global', 'pg_control'));
    if (!(await readIfThere(folder.password))?.trim()) throw damaged(folder.password);
    return true;
  });

/** Gives a file that root has just made to the owner of the folder, who may be an ordinary user and start Treadle later. */
export const keepOwner = async (folder: DataFolder, file: string): Promise<void> => {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = await fs.stat(folder.root);
  await fs.chown(file, uid, gid);
};

/** A password that no other user of the machine can guess; loopback is open to all of them. */
export const randomPassword = (): string => randomBytes(24).toString('hex');

export const urlOf = async (folder: DataFolder, port: number): Promise<string> => {
  const password = (await onFolder(folder.dataDir, () => fs.readFile(folder.password, 'utf8'))).trim();
  return `postgres://${superuser}:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
};

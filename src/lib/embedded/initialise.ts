import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '../errors/app-error.ts';
import { codeOf } from '../errors/classify.ts';
import type { Binaries } from './binaries.ts';
import { folderUnder, onFolder, randomPassword, superuser, type DataFolder } from './data-folder.ts';
import { processState } from './process-state.ts';
import { chooseRunAs, commandOf, giveTo, type RunAs } from './run-as.ts';

const draftName = /^postgres\.new-(\d+)$/;

/** Removes what attempts left that ended half-way. */
const removeOldDrafts = async (dataDir: string): Promise<void> => {
  for (const entry of await fs.readdir(dataDir)) {
    const pid = Number(draftName.exec(entry)?.[1] ?? 0);
    if (pid > 0 && pid !== process.pid && (await processState(pid)) !== 'running') {
      await fs.rm(path.join(dataDir, entry), { recursive: true, force: true });
    }
  }
};

/** Only this process reads the password from then on. */
const takeBack = async (runAs: RunAs, file: string): Promise<void> => {
  if (runAs.owner) await fs.chown(file, process.geteuid?.() ?? 0, process.getegid?.() ?? 0);
};

const runInitdb = async (binaries: Binaries, draft: DataFolder): Promise<void> => {
  const runAs = chooseRunAs(binaries.postgres, draft.root, draft.data);
  giveTo(runAs, draft.data);
  giveTo(runAs, draft.password);
  const { file, args } = commandOf(runAs, binaries.initdb, [
    `--pgdata=${draft.data}`,
    `--username=${superuser}`,
    '--auth=scram-sha-256',
    `--pwfile=${draft.password}`,
    '--encoding=UTF8',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--no-instructions',
  ]);
  await promisify(execFile)(file, [...args], { ...runAs.spawnOptions, cwd: draft.root }).catch((error: unknown) => {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new AppError(
      'CONFIGURATION_ERROR',
      `a database could not be made in ${draft.dataDir} (TREADLE_DATA_DIR): ${said || 'initdb did not run'}`,
      { faults: [{ variable: 'TREADLE_DATA_DIR', message: 'could not be filled by initdb' }] },
      { cause: error },
    );
  });
  await takeBack(runAs, draft.password);
};

/**
 * Makes the folder and an empty database in it. Of several processes that do so at once one wins, and all find its
 * database afterwards; one that is killed leaves nothing that is taken for a database.
 */
export const initialise = (folder: DataFolder, binaries: Binaries): Promise<void> =>
  onFolder(folder.dataDir, async () => {
    await fs.mkdir(folder.dataDir, { recursive: true });
    await removeOldDrafts(folder.dataDir);
    const draft = folderUnder(folder.dataDir, path.join(folder.dataDir, `postgres.new-${process.pid}`));
    await fs.rm(draft.root, { recursive: true, force: true });
    await fs.mkdir(draft.data, { recursive: true });
    await fs.chmod(draft.root, 0o755);
    await fs.chmod(draft.data, 0o700);
    await fs.writeFile(draft.password, `${randomPassword()}\n`, { mode: 0o600 });
    try {
      await runInitdb(binaries, draft);
      await fs.rename(draft.root, folder.root);
    } catch (error) {
      await fs.rm(draft.root, { recursive: true, force: true });
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
    }
  });

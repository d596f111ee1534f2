import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import { promisify } from 'node:util';
import { codeOf } from '../errors/classify.ts';

/** `zombie`: it has ended, but its parent has not noticed, so that its process id still looks taken. */
export type ProcessState = 'running' | 'zombie' | 'gone';

const hasProc = process.platform === 'linux';

const answersSignals = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
};

const ps = async (pid: number, column: string): Promise<string> => {
  const { stdout } = await promisify(execFile)('ps', ['-o', `${column}=`, '-p', String(pid)]).catch(() => ({
    stdout: '',
  }));
  return stdout.trim();
};

export const processState = async (pid: number): Promise<ProcessState> => {
  if (!answersSignals(pid)) return 'gone';
  // In /proc/PID/stat the state follows the name, which stands in parentheses and may hold any character.
  const state = hasProc
    ? (await fs.readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')).replace(/^.*\) /s, '').charAt(0)
    : (await ps(pid, 'stat')).charAt(0);
  if (state === '') return 'gone';
  return state === 'Z' || state === 'X' ? 'zombie' : 'running';
};

/** Whether the process is a postmaster at work in `folder` (its working directory), and no stranger with a reused id. */
export const worksIn = async (pid: number, folder: string): Promise<boolean> => {
  if (hasProc) return (await fs.readlink(`/proc/${pid}/cwd`).catch(() => '')) === folder;
  return (await ps(pid, 'command')).includes(folder);
};

#!/usr/bin/env node
// Runs the command under the Node that Treadle brings (node_modules/node), whatever Node the machine has. Plain
// JavaScript for old versions: the sources need Node 24.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const neededMajor = 24;
const bin = fileURLToPath(import.meta.url);
const root = path.dirname(path.dirname(bin));

/** Node 24 as an npm dependency: beside this package's own dependencies, or beside this package. */
const findNode = () => {
  const name = process.platform === 'win32' ? 'node.exe' : 'node';
  const folders = [path.join(root, 'node_modules'), path.dirname(root)];
  return folders.map((folder) => path.join(folder, 'node', 'bin', name)).find((file) => existsSync(file));
};

const runHere = async () => {
  if (process.channel) {
    // The process that started this one ended without a word (kill -9): end too, as if asked to.
    process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
    process.channel.unref();
  }
  module.enableCompileCache(path.join(root, 'node_modules', '.cache', 'treadle'));
  const { main } = await import('../src/cli/treadle.ts');
  process.exitCode = await main(process.argv.slice(2));
};

const runUnder = (node) => {
  const child = spawn(node, [bin, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`treadle: ${node} cannot be run: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const each of signals) process.removeAllListeners(each);
    process.kill(process.pid, signal);
    // A signal that does not end this process still makes the exit code a shell would show.
    process.exitCode = 128 + (os.constants.signals[signal] ?? 0);
  });
};

const node = findNode();
if (Number(process.versions.node.split('.')[0]) >= neededMajor) {
  await runHere();
} else if (node === undefined || process.channel) {
  process.stderr.write(`treadle: needs Node ${neededMajor}, and this is ${process.versions.node}: run npm ci\n`);
  process.exitCode = 1;
} else {
  runUnder(node);
}

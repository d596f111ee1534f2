#!/usr/bin/env node
// Runs the command: from the sources in a checkout, from dist/ where the package is installed. Both need Node 24; under an
// older one it goes on with the one of the npm package `node`, if that is there. Plain JavaScript for old versions.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const neededMajor = 24;
const bin = fileURLToPath(import.meta.url);
const root = path.dirname(path.dirname(bin));
const isCheckout = existsSync(path.join(root, 'src', 'cli', 'treadle.ts'));

/** Node 24 as an npm package: among this checkout's own dependencies, or in the project that has installed this package. */
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
  const { main } = await import(isCheckout ? '../src/cli/treadle.ts' : '../dist/cli/treadle.js');
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
  const cure = isCheckout
    ? 'run npm ci'
    : `use a newer one, or add it to this project: npm install node@${neededMajor}`;
  process.stderr.write(`treadle: needs Node ${neededMajor}, and this is ${process.versions.node}: ${cure}\n`);
  process.exitCode = 1;
} else {
  runUnder(node);
}

import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import net from 'node:net';
import { keepOwner, readIfThere, type DataFolder } from './data-folder.ts';

/** Below the range that systems take for outgoing connections, so that a port stays ours between two starts. */
const first = 20_000;
const count = 10_000;

export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });

/** The port of the last start if it is free, else the next free one from a place that depends on the folder. */
export const choosePort = async (folder: DataFolder): Promise<number> => {
  const last = Number((await readIfThere(folder.port)) ?? 0);
  if (last > 0 && last < 65_536 && (await isFree(last))) return last;
  const start = createHash('sha256').update(folder.root).digest().readUInt32BE(0);
  for (let step = 0; step < count; step += 1) {
    const port = first + ((start + step) % count);
    if (await isFree(port)) return port;
  }
  return 0;
};

export const rememberPort = async (folder: DataFolder, port: number): Promise<void> => {
  await fs.writeFile(folder.port, `${port}\n`);
  await keepOwner(folder, folder.port);
};

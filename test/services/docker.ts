import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Service } from './service.ts';

const run = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)('docker', args, { timeout: 300_000 })).stdout.trim();

/** Whether a daemon answers; the command alone means nothing. */
const daemonAnswers = (): Promise<boolean> =>
  promisify(execFile)('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 5_000 }).then(
    ({ stdout }) => stdout.trim() !== '',
    () => false,
  );

const composeFile = z.object({ services: z.record(z.string(), z.object({ image: z.string().optional() })) });

const imageOf = async (service: string): Promise<string> => {
  const text = await fs.readFile(path.join(import.meta.dirname, '../../docker-compose.yml'), 'utf8');
  const image = composeFile.parse(parse(text, { merge: true })).services[service]?.image;
  if (image === undefined) throw new Error(`docker-compose.yml names no image for ${service}`);
  return image;
};

export interface Container {
  /** The service of docker-compose.yml whose image is taken. */
  readonly service: string;
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** A command in the container that succeeds when the server is up. */
  readonly ready: readonly string[];
  readonly url: (address: string) => string;
}

/** Runs the server in a container that is removed at the end; undefined without a daemon. */
export const startInDocker = async (container: Container): Promise<Service | undefined> => {
  if (!(await daemonAnswers())) return undefined;
  const image = await imageOf(container.service);
  const variables = Object.entries(container.environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const publish = `127.0.0.1:0:${container.port}`;
  const id = await run('run', '--detach', '--rm', '--publish', publish, ...variables, image, ...container.command);
  const stop = async (): Promise<void> => void (await run('rm', '--force', '--volumes', id));
  try {
    for (const deadline = Date.now() + 60_000; ;) {
      const up = await run('exec', id, ...container.ready).then(
        () => true,
        () => false,
      );
      if (up) break;
      if (Date.now() > deadline) throw new Error(`${image} did not come up within a minute`);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    const address = (await run('port', id, `${container.port}/tcp`)).split('\n')[0] ?? '';
    return { url: container.url(address), origin: `${image} in Docker`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

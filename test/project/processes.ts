import { parse } from 'yaml';
import { z } from 'zod';
import { readProjectFile, readProjectJson } from './read-project-file.ts';

const manifest = z.object({ scripts: z.record(z.string(), z.string()) });

const composeService = z.object({
  image: z.string(),
  build: z.string().optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
  ports: z.array(z.string()).optional(),
  healthcheck: z.object({ test: z.array(z.string()).optional(), disable: z.boolean().optional() }).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
  stop_grace_period: z.string().optional(),
});
const composeFile = z.object({ services: z.record(z.string(), composeService) });
export type ComposeService = z.output<typeof composeService>;

export const readCompose = async (): Promise<unknown> =>
  parse(await readProjectFile('docker-compose.yml'), { merge: true });

export const readComposeServices = async (): Promise<Readonly<Record<string, ComposeService>>> =>
  composeFile.parse(await readCompose()).services;

/** The programs that the lines of the Procfile end up running, by the name of the line. */
export const readProcfile = async (): Promise<ReadonlyMap<string, string>> => {
  const { scripts } = manifest.parse(await readProjectJson('package.json'));
  const lines = (await readProjectFile('Procfile')).split('\n').filter((line) => line.trim() !== '');
  return new Map(
    lines.map((line) => {
      const [, name = '', script = ''] = /^(\w+): npm run (\S+)$/.exec(line) ?? [];
      return [name, scripts[script]?.replace(/^exec /, '') ?? ''];
    }),
  );
};

export interface DockerInstruction {
  readonly keyword: string;
  readonly argument: string;
}

/** The instructions of a Dockerfile in order, continued lines joined and comments left out. */
export const readDockerfile = async (): Promise<readonly DockerInstruction[]> => {
  const text = await readProjectFile('Dockerfile');
  return text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, keyword = '', argument = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
      return { keyword, argument };
    });
};

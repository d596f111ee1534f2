import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, makeFromMaven, runs } from './cached-download.ts';

const version = '8.19.21';
const artifact = {
  coordinates: `org.elasticsearch.distribution.integ-test-zip:elasticsearch:${version}:zip`,
  fileName: `elasticsearch-${version}.zip`,
  sha256: '215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a',
};
const run = promisify(execFile);

const descriptor = `description=stemmer token filter
version=1
name=treadle-stemmer
classname=treadle.StemmerPlugin
java.version=17
elasticsearch.version=${version}
`;

/** Compiles the plugin against the server's own libraries. */
const addStemmer = async (home: string): Promise<void> => {
  const plugin = path.join(home, 'plugins', 'treadle-stemmer');
  const classes = path.join(plugin, 'classes');
  await fs.mkdir(classes, { recursive: true });
  const source = path.join(import.meta.dirname, 'elasticsearch-plugin', 'StemmerPlugin.java');
  await run('javac', ['-d', classes, '-cp', path.join(home, 'lib', '*'), source]);
  await run('jar', ['--create', '--file', path.join(plugin, 'treadle-stemmer.jar'), '-C', classes, '.']);
  await fs.rm(classes, { recursive: true });
  await fs.writeFile(path.join(plugin, 'plugin-descriptor.properties'), descriptor);
};

const unpack = async (zip: string, draft: string): Promise<void> => {
  const folder = `${draft}.unpacked`;
  await fs.mkdir(folder);
  // Part of the JDK, as the compiler is, and not of every system.
  await run('jar', ['--extract', '--file', zip], { cwd: folder });
  const home = path.join(folder, `elasticsearch-${version}`);
  await addStemmer(home);
  await fs.rename(home, draft);
};

/** What tests that search in Elasticsearch lack where it can't be had. */
export const missingElasticsearch =
  'no Java 17 and Maven to get an Elasticsearch, and no Docker daemon.\n' +
  '    apt-get install openjdk-17-jdk-headless maven, or set ELASTICSEARCH_URL to an Elasticsearch 8 that may be written to.';

const javaMajor = async (): Promise<number> => {
  const said = await run('javac', ['-version']).then(
    ({ stdout, stderr }) => stdout + stderr,
    () => '',
  );
  return Number(/javac (\d+)/.exec(said)?.[1] ?? 0);
};

/**
 * The folder of an Elasticsearch that Maven Central carries, kept in the user's cache folder, and the `java` that runs it.
 * Undefined without a JDK of version 17 or newer, or without Maven to fetch it with.
 * @throws Error when what was fetched is not the expected file.
 */
export const findElasticsearchProgram = async (): Promise<ElasticsearchProgram | undefined> => {
  if ((await javaMajor()) < 17) return undefined;
  const home = path.join(cacheFolder(), `elasticsearch-${version}`);
  const isThere = await fs.access(home).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    if (!(await runs('mvn'))) return undefined;
    await makeFromMaven(artifact, home, unpack);
  }
  const { stderr, stdout } = await run('java', ['-XshowSettings:properties', '-version']);
  const javaHome = /java\.home = (.+)/.exec(stderr + stdout)?.[1]?.trim();
  return javaHome === undefined ? undefined : { home, javaHome, origin: artifact.coordinates };
};

export interface ElasticsearchProgram {
  readonly home: string;
  readonly javaHome: string;
  readonly origin: string;
}

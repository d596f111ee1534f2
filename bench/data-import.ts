import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { importIntoWorkspace } from '../src/domain/imports/import-into-workspace.ts';
import type { ImportedDocument } from '../src/domain/imports/imported-document.ts';
import { debianControlFormat } from '../src/domain/imports/read-debian-control.ts';
import { KnowledgeService } from '../src/domain/knowledge/service.ts';
import { WorkspaceService } from '../src/domain/workspaces/service.ts';
import { createLog } from '../src/lib/log/create-log.ts';
import { copyIn } from '../src/lib/postgres/copy-in.ts';
import { copyRow, type CopyValue } from '../src/lib/postgres/copy-row.ts';
import type { Postgres } from '../src/lib/postgres/postgres.ts';
import { samplePackages } from '../test/domain/imports/sample-packages.ts';
import { compare, perSecond } from './measure.ts';
import type { Row } from './report.ts';

const invented = 64_000;

/** The package index of this machine, where there is one. */
const packageIndex = async (): Promise<string> => {
  try {
    return (await promisify(execFile)('apt-cache', ['dumpavail'], { maxBuffer: 1_000_000_000 })).stdout;
  } catch {
    return samplePackages(invented, 1);
  }
};

const read = async (file: string): Promise<readonly ImportedDocument[]> => {
  const documents: ImportedDocument[] = [];
  const records = debianControlFormat.read(
    { absolutePath: file, relativePath: path.basename(file), defaultId: '' },
    undefined,
  );
  for await (const record of records) if ('document' in record) documents.push(record.document);
  return documents;
};

interface Copy {
  readonly statement: string;
  readonly rows: readonly string[];
}

/** The rows that the import makes, with ids, in the order in which they can be copied. Members are made by a trigger. */
const copiesOf = (workspaceId: string, documents: readonly ImportedDocument[]): readonly Copy[] => {
  const users = new Map<string, readonly CopyValue[]>();
  const tags = new Map<string, string>();
  const knowledge: string[] = [];
  const links: string[] = [];
  for (const { sourceId, title, content, contentType, excerpt, metadata, author, tags: names } of documents) {
    const key = author && (author.email ?? author.name).toLowerCase();
    if (author && key !== undefined && !users.has(key)) {
      users.set(key, [randomUUID(), workspaceId, author.email, author.name]);
    }
    const [authorId] = users.get(key ?? '') ?? [];
    const id = randomUUID();
    knowledge.push(
      copyRow([
        id,
        workspaceId,
        sourceId,
        title,
        content,
        contentType,
        excerpt,
        'published',
        authorId,
        JSON.stringify(metadata),
      ]),
    );
    for (const name of names) {
      const tagId = tags.get(name) ?? randomUUID();
      tags.set(name, tagId);
      links.push(copyRow([workspaceId, id, tagId]));
    }
  }
  return [
    {
      statement: 'COPY treadle.users (id, workspace_id, email, name) FROM STDIN',
      rows: [...users.values()].map(copyRow),
    },
    {
      statement: 'COPY treadle.tags (id, workspace_id, name) FROM STDIN',
      rows: [...tags].map(([name, id]) => copyRow([id, workspaceId, name])),
    },
    {
      statement:
        'COPY treadle.knowledge (id, workspace_id, source_id, title, content, content_type, excerpt, status, author_id, metadata) FROM STDIN',
      rows: knowledge,
    },
    { statement: 'COPY treadle.knowledge_tags (workspace_id, knowledge_id, tag_id) FROM STDIN', rows: links },
  ];
};

export interface ImportSizes {
  readonly rounds: number;
  /** Invented packages; undefined for the package index of the machine. */
  readonly packages: number | undefined;
}

/**
 * An import of a package index, from its file to the last commit, beside COPY of the rows it makes into the same tables with the
 * same triggers. Empties these tables before each.
 */
export const benchImport = async (postgres: Postgres, { rounds, packages }: ImportSizes): Promise<Row> => {
  const log = createLog({ level: 'warn' });
  const services = {
    workspaces: new WorkspaceService({ postgres, log }),
    knowledge: new KnowledgeService({ postgres, log }),
  };
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-bench-import-'));
  const file = path.join(folder, 'Packages');
  await fs.writeFile(file, packages === undefined ? await packageIndex() : samplePackages(packages, 1));
  const documents = await read(file);
  const prepare = async (): Promise<string> => {
    await postgres.query('TRUNCATE treadle.workspaces, treadle.events, treadle.jobs CASCADE');
    await postgres.query('CHECKPOINT');
    return (await services.workspaces.create({ name: 'packages' })).id;
  };
  const standings = await compare(rounds, [
    {
      name: 'Treadle',
      run: async () => {
        await prepare();
        return perSecond(documents.length, () =>
          importIntoWorkspace(services, file, { workspace: 'packages', actor: 'bench' }),
        );
      },
    },
    {
      name: 'plain pg',
      run: async () => {
        const copies = copiesOf(await prepare(), documents);
        // A session of its own, as a person would take: plans of small statements before would be kept for large ones.
        const client = await postgres.connectDirect('copy');
        const copy = async (): Promise<void> => {
          await client.query('BEGIN');
          for (const { statement, rows } of copies) await copyIn(client, statement, rows);
          await client.query('COMMIT');
        };
        return perSecond(documents.length, copy).finally(() => client.end());
      },
    },
  ]);
  await fs.rm(folder, { recursive: true });
  return {
    measure: `import of ${documents.length.toLocaleString('en')} packages, by COPY`,
    unit: '/s',
    standings,
    promised: { of: 'ratio', atLeast: 0.5 },
  };
};

import { beforeAll } from 'vitest';
import { CollectionService } from '../../../src/domain/knowledge/collection-service.ts';
import { KnowledgeService } from '../../../src/domain/knowledge/service.ts';
import { TagService } from '../../../src/domain/knowledge/tag-service.ts';
import { UserService } from '../../../src/domain/users/service.ts';
import { WorkspaceService } from '../../../src/domain/workspaces/service.ts';
import { createLog } from '../../../src/lib/log/create-log.ts';
import { useDatabase, type TestDatabase } from '../../services/database.ts';

interface Fixture {
  readonly database: TestDatabase;
  readonly knowledge: KnowledgeService;
  readonly tags: TagService;
  readonly collections: CollectionService;
  readonly users: UserService;
  /** The ids of two workspaces. */
  readonly here: string;
  readonly there: string;
  newWorkspace(): Promise<string>;
}

/** The services on a database of the file's own, readable from `beforeAll` on. */
export const useKnowledge = (): Fixture => {
  const database = useDatabase();
  const log = createLog({ level: 'silent' });
  const ids = { here: '', there: '' };
  const services = () => ({ postgres: database.postgres, log });
  const newWorkspace = async (): Promise<string> => {
    const name = `w${Math.random().toString(36).slice(2)}`;
    return (await new WorkspaceService(services()).create({ name })).id;
  };
  beforeAll(async () => {
    ids.here = await newWorkspace();
    ids.there = await newWorkspace();
  });
  return {
    database,
    get knowledge() {
      return new KnowledgeService(services());
    },
    get tags() {
      return new TagService(services());
    },
    get collections() {
      return new CollectionService(services());
    },
    get users() {
      return new UserService(services());
    },
    get here() {
      return ids.here;
    },
    get there() {
      return ids.there;
    },
    newWorkspace,
  };
};

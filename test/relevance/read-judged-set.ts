import fs from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';

const documentShape = z.strictObject({
  id: z.string(),
  title: z.string(),
  excerpt: z.string(),
  content: z.string(),
  tags: z.array(z.string()).readonly(),
  /** Version, licence and copyright of what it was taken from. */
  origin: z.string(),
});
export type CorpusDocument = Readonly<z.output<typeof documentShape>>;

/** 3: the one that is meant; 2: a good answer; 1: an acceptable one. What is not named is none. */
const gradeShape = z.union([z.literal(1), z.literal(2), z.literal(3)]);
const queryShape = z.strictObject({
  query: z.string().min(1),
  kind: z.enum(['name', 'words', 'paraphrase', 'misspelling', 'phrase', 'intent']),
  grades: z.record(z.string(), gradeShape).readonly(),
});
export type JudgedQuery = Readonly<z.output<typeof queryShape>>;

export interface JudgedSet {
  readonly documents: readonly CorpusDocument[];
  readonly queries: readonly JudgedQuery[];
}

const readLines = async <T>(name: string, shape: z.ZodType<T>): Promise<readonly T[]> => {
  const text = await fs.readFile(path.join(import.meta.dirname, name), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => shape.parse(JSON.parse(line)));
};

/**
 * The documents and the queries judged over them.
 * @throws Error for a file that is not as it should be, a query that is there twice, or a judgement of an unknown document.
 */
export const readJudgedSet = async (): Promise<JudgedSet> => {
  const documents = await readLines('documents.jsonl', documentShape);
  const queries = await readLines('queries.jsonl', queryShape);
  const known = new Set(documents.map(({ id }) => id));
  const asked = new Set<string>();
  for (const { query, grades } of queries) {
    if (asked.has(query)) throw new Error(`the query "${query}" is judged twice`);
    asked.add(query);
    const unknown = Object.keys(grades).filter((id) => !known.has(id));
    if (unknown.length > 0) throw new Error(`"${query}" names documents that are not there: ${unknown.join(', ')}`);
  }
  return { documents, queries };
};

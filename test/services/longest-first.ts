import fs from 'node:fs/promises';
import type { TestSequencer, TestSpecification } from 'vitest/node';

/**
 * Begins with the files of whole processes, which take longest, so that none of them is alone at the end; then large files
 * before small ones.
 */
export default class LongestFirst implements TestSequencer {
  async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const weighed = await Promise.all(
      files.map(async (file) => ({
        file,
        isLong: file.project.name === 'processes',
        bytes: (await fs.stat(file.moduleId)).size,
      })),
    );
    return weighed.toSorted((a, b) => Number(b.isLong) - Number(a.isLong) || b.bytes - a.bytes).map(({ file }) => file);
  }

  /** The run is never divided between machines. */
  shard(files: TestSpecification[]): TestSpecification[] {
    return files;
  }
}

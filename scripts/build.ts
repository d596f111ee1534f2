import { execFileSync } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';

const root = path.join(import.meta.dirname, '..');
const source = path.join(root, 'src');
const target = path.join(root, 'dist');

/** Makes `dist/` anew: JavaScript and declarations of everything in `src/`, and the files beside them that it reads or serves. Types are checked by `npm run check`. */
const build = async (): Promise<void> => {
  await fs.rm(target, { recursive: true, force: true });
  execFileSync(process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  for await (const file of fs.glob('**/*.{sql,html,css,js}', { cwd: source })) {
    await fs.copyFile(path.join(source, file), path.join(target, file));
  }
};

await build();

import fs from 'node:fs/promises';
import path from 'node:path';

const programs = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** What tests of pages lack where there is no browser. */
export const missingBrowser =
  'no Chromium on the path.\n    apt-get install -y --no-install-recommends chromium fonts-dejavu-core, or set CHROMIUM to the program of one';

/** Not run to find out, which would take each test run a moment. */
const isProgram = async (file: string): Promise<boolean> => {
  try {
    await fs.access(file, fs.constants.X_OK);
    return (await fs.stat(file)).isFile();
  } catch {
    return false;
  }
};

/** CHROMIUM, else the Chromium or Chrome on the path, whose file it answers. */
export const findBrowser = async (): Promise<string | undefined> => {
  const folders = (process.env['PATH'] ?? '').split(path.delimiter).filter(Boolean);
  const candidates = programs.flatMap((program) => folders.map((folder) => path.join(folder, program)));
  const configured = process.env['CHROMIUM'];
  for (const file of configured ? [configured] : candidates) if (await isProgram(file)) return file;
  return undefined;
};

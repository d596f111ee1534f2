import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium, type BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, describe, inject } from 'vitest';

/** Marks the tests that need a browser, so that the report can count those it skipped. */
const mark = '[chromium]';

const flags = [
  '--disable-gpu',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-dev-shm-usage',
];

export interface TestBrowser {
  /** One profile of its own, begun with the block. Readable from `beforeAll` on. */
  readonly context: BrowserContext;
}

const ready = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the browser of this block exists from beforeAll to afterAll');
  return value;
};

/** A describe block with a real browser, reported at the end of the run where there is none. */
export const describeWithBrowser = (name: string, fn: (browser: TestBrowser) => void): void => {
  const executablePath = inject('browserProgram');
  describe.runIf(executablePath !== undefined)(`${name} ${mark}`, () => {
    let context: BrowserContext | undefined;
    let profile: string | undefined;
    beforeAll(async () => {
      profile = await fs.mkdtemp(path.join(os.tmpdir(), 'treadle-browser-'));
      context = await chromium.launchPersistentContext(profile, {
        executablePath: ready(executablePath),
        headless: true,
        chromiumSandbox: false,
        args: flags,
        locale: 'en-GB',
        viewport: { width: 1_100, height: 800 },
      });
      // What a page waits for longer than this does not come.
      context.setDefaultTimeout(10_000);
    });
    afterAll(async () => {
      await context?.close();
      if (profile !== undefined) await fs.rm(profile, { recursive: true, force: true, maxRetries: 5 });
    });
    fn({
      get context() {
        return ready(context);
      },
    });
  });
};

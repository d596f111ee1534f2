import { afterAll, beforeAll } from 'vitest';

/** What a test file must have closed by its end. */
const watched = new Set([
  'TCPSocketWrap',
  'TCPServerWrap',
  'TLSWrap',
  'PipeWrap',
  'PipeServerWrap',
  'ProcessWrap',
  'FSEventWrap',
  'Timeout',
]);

const openNow = (): string[] => process.getActiveResourcesInfo().filter((kind) => watched.has(kind));

let before: readonly string[] = [];

const leftOpen = (): readonly string[] => {
  const left = openNow();
  for (const kind of before) {
    const index = left.indexOf(kind);
    if (index >= 0) left.splice(index, 1);
  }
  return left;
};

beforeAll(() => {
  // Opened when first asked for, by whatever library does.
  for (const stream of [process.stdin, process.stdout, process.stderr]) void stream.fd;
  // The timers of now are vitest's own, and pass.
  before = openNow().filter((kind) => kind !== 'Timeout');
});

// Some libraries keep a timer for two seconds after they were closed.
// Runs after every other hook of the file, as the first that was registered.
afterAll(async () => {
  for (const deadline = Date.now() + 5_000; leftOpen().length > 0;) {
    if (Date.now() > deadline) throw new Error(`this file leaves open: ${leftOpen().join(', ')}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 20).unref();
      setImmediate(resolve);
    });
  }
});

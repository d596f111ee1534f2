import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('../../docs/deployment.md', import.meta.url), 'utf8');
const rule = /^ACL SETUSER treadle on >secret (.+)$/m.exec(page)?.[1];
if (rule === undefined) throw new Error('docs/deployment.md no longer says what a user of Redis needs');

/** What docs/deployment.md says that a user for Treadle needs. */
export const smallestAcl: readonly string[] = rule.split(' ');

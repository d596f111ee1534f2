import { isMap, isScalar, parseDocument } from 'yaml';
import { RefusedInput } from './refused-input.ts';

export interface FrontMatter {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly content: string;
}

const looksLikeField = /^[\p{L}\p{N}_"'][^:]*:(?:\s|$)/u;
const closing = /^(?:---|\.\.\.)[ \t]*$/;

/** Numbers and dates as they are written: a title `1.10` stays `1.10`. */
const asWritten = new Set(['id', 'title', 'excerpt', 'author', 'status']);

const readYaml = (source: string): Readonly<Record<string, unknown>> => {
  const document = parseDocument(source, { logLevel: 'error', prettyErrors: false });
  const [fault] = document.errors;
  if (fault) {
    const line = source.slice(0, fault.pos[0]).split('\n').length + 1;
    throw new RefusedInput(`has front matter that is not valid YAML: ${fault.message.split('\n', 1)[0]}`, line);
  }
  if (document.contents === null) return {};
  if (!isMap(document.contents)) throw new RefusedInput('has front matter that is not a list of fields', 2);
  let read: unknown;
  try {
    read = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new RefusedInput(`has front matter that cannot be read: ${error instanceof Error ? error.message : ''}`, 2);
  }
  const written = document.contents.items.flatMap(({ key, value }): [string, unknown][] =>
    isScalar(key) &&
    typeof key.value === 'string' &&
    asWritten.has(key.value) &&
    isScalar(value) &&
    value.value !== null
      ? [[key.value, value.source]]
      : [],
  );
  return { ...(typeof read === 'object' ? read : {}), ...Object.fromEntries(written) };
};

/**
 * Splits Markdown into the fields of its front matter (YAML between lines of `---` at the very start) and its content. A
 * first line of `---` that no field follows is a rule of Markdown, and content.
 * @throws RefusedInput for front matter that is not closed or not YAML, with its line.
 */
export const splitFrontMatter = (text: string): FrontMatter => {
  const lines = text.split('\n');
  if (!/^---[ \t]*$/.test(lines[0] ?? '')) return { fields: {}, content: text };
  const end = lines.findIndex((line, index) => index > 0 && closing.test(line));
  const firstField = lines.slice(1).find((line) => line.trim() !== '' && !line.trimStart().startsWith('#')) ?? '';
  if (!looksLikeField.test(firstField) && !(end !== -1 && closing.test(firstField)))
    return { fields: {}, content: text };
  if (end === -1) throw new RefusedInput('has front matter that is not closed by a line of ---', 1);
  const fields = readYaml(lines.slice(1, end).join('\n'));
  return {
    fields,
    content: lines
      .slice(end + 1)
      .join('\n')
      .replace(/^\n+/, ''),
  };
};

import { knowledgeLimits } from '../knowledge/input.ts';
import { cutText } from './cut-text.ts';
import { importLimits } from './import-limits.ts';
import { toImportedDocument } from './imported-document.ts';
import { readLines, type Line } from './read-lines.ts';
import { RefusedInput } from './refused-input.ts';
import type { ReadRecord, SourceFile, SourceFormat } from './source-file.ts';

interface Field {
  readonly name: string;
  /** What follows the colon, then the lines that continue it without the blank they start with. */
  readonly lines: string[];
}

/** The fields of one package, by their names in lower case. */
type Fields = ReadonlyMap<string, Field>;

type Stanza = { readonly line: number; readonly fields: Fields } | { readonly line: number; readonly fault: string };

/** Printable ASCII without a colon, and neither a comment nor the end of a signed text at the start. */
const fieldName = /^[!"$-,.-9;-~][!-9;-~]*$/;

/** Collects the lines of a stanza. */
class OpenStanza {
  readonly line: number;
  readonly fields = new Map<string, Field>();
  faulty = false;
  #current: Field | undefined;
  #length = 0;

  constructor(line: number) {
    this.line = line;
  }

  /** Answers what is wrong with the line. @throws RefusedInput for a stanza that is too long. */
  add(line: Line): string | undefined {
    const fault = 'fault' in line ? line.fault : this.#addText(line.text, line.number);
    if (fault !== undefined) this.faulty = true;
    return fault;
  }

  #addText(text: string, number: number): string | undefined {
    this.#length += text.length;
    if (this.#length > importLimits.maxRecordBytes) {
      throw new RefusedInput(`is longer than the ${importLimits.maxRecordBytes} bytes one record may have`, number);
    }
    if (text.startsWith('#')) return undefined;
    if (text.startsWith(' ') || text.startsWith('\t')) {
      if (this.#current === undefined) return 'continues a field, but no field stands before it';
      this.#current.lines.push(text.slice(1).trimEnd());
      return undefined;
    }
    const colon = text.indexOf(':');
    const name = text.slice(0, Math.max(colon, 0));
    if (!fieldName.test(name)) return 'is neither a field such as "Package: name" nor part of one';
    const key = name.toLowerCase();
    this.#current = { name, lines: [text.slice(colon + 1).trim()] };
    if (this.fields.has(key)) return `names the field ${name} twice`;
    this.fields.set(key, this.#current);
    return undefined;
  }
}

async function* stanzasOf(blocks: AsyncIterable<readonly Line[]>): AsyncGenerator<Stanza> {
  let open: OpenStanza | undefined;
  for await (const lines of blocks) {
    for (const line of lines) {
      if ('text' in line && line.text.trim() === '') {
        if (open && !open.faulty && open.fields.size > 0) yield open;
        open = undefined;
        continue;
      }
      open ??= new OpenStanza(line.number);
      const fault = open.add(line);
      if (fault !== undefined) yield { line: line.number, fault };
    }
  }
  if (open && !open.faulty && open.fields.size > 0) yield open;
}

/** A value on one line; one that starts below its name is a list of lines, and stays one. */
const textOf = (field: Field | undefined): string => {
  if (field === undefined) return '';
  const [first = '', ...more] = field.lines.map((line) => line.trim());
  return first === '' ? more.join('\n') : [first, ...more].join(' ');
};

/** The synopsis, and the paragraphs below it, between which stand lines of one dot. */
const descriptionOf = (fields: Fields): { readonly synopsis: string; readonly text: string } => {
  const translated = [...fields.keys()].find((key) => key.startsWith('description-') && key !== 'description-md5');
  const field = fields.get('description') ?? fields.get(translated ?? '');
  const [synopsis = '', ...text] = field?.lines ?? [];
  return { synopsis, text: text.map((line) => (line === '.' ? '' : line)).join('\n') };
};

const tagsOf = (fields: Fields): readonly string[] =>
  [textOf(fields.get('section')), ...textOf(fields.get('tag')).split(',')]
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '' && tag.length <= knowledgeLimits.tagLength)
    .slice(0, knowledgeLimits.tags);

/**
 * `name:architecture` (`all` where none is named). Of a package of which the file has several versions, the first met has
 * this id, and the others have their version after it: an index that is read again updates what it had.
 */
const idOf = (fields: Fields, met: Set<string>): string => {
  const id = `${textOf(fields.get('package'))}:${textOf(fields.get('architecture')) || 'all'}`;
  if (met.has(id)) return `${id}=${textOf(fields.get('version'))}`;
  met.add(id);
  return id;
};

const told = new Set(['description', 'section', 'tag', 'maintainer']);

const toRecord = (line: number, fields: Fields, met: Set<string>): readonly ReadRecord[] => {
  const name = textOf(fields.get('package'));
  if (name === '') return [{ line, fault: 'has no field Package' }];
  const { synopsis, text } = descriptionOf(fields);
  const others = [...fields].filter(([key]) => !told.has(key) && !key.startsWith('description-'));
  const checked = toImportedDocument(
    {
      ...Object.fromEntries(others.map(([, field]) => [field.name, textOf(field)])),
      id: idOf(fields, met),
      title: cutText(synopsis === '' ? name : `${name}: ${synopsis}`, knowledgeLimits.titleLength),
      content: text === '' ? synopsis : text,
      excerpt: cutText(synopsis, knowledgeLimits.excerptLength),
      tags: tagsOf(fields),
      author: textOf(fields.get('maintainer')).replace(/,$/, ''),
      status: undefined,
    },
    { defaultId: name, contentType: 'text/plain', defaultTitle: () => name },
  );
  return 'document' in checked ? [{ line, ...checked }] : checked.faults.map((fault) => ({ line, fault }));
};

async function* read(file: SourceFile, signal: AbortSignal | undefined): AsyncGenerator<ReadRecord> {
  const met = new Set<string>();
  for await (const stanza of stanzasOf(readLines(file.absolutePath, signal))) {
    if ('fault' in stanza) yield stanza;
    else yield* toRecord(stanza.line, stanza.fields, met);
  }
}

/** An index of Debian packages (deb-control(5), as in `Packages` of a mirror): one document a package. */
export const debianControlFormat: SourceFormat = {
  extensions: ['.packages', '.deb822'],
  // apt keeps its indexes under names that end so.
  fileNames: /(?:^|_)Packages(?:\.gz)?$/,
  documents: 'many',
  read,
};

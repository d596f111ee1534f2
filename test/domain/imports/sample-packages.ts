/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
const randomFrom = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};

const words =
  'loom weft warp thread shuttle bobbin cloth pattern selvedge heddle treadle library tool daemon plugin parser graph network sound image kernel module font theme index cache query client server editor viewer'.split(
    ' ',
  );
const sections = ['libs', 'devel', 'net', 'games', 'doc', 'python', 'utils', 'science', 'non-free/graphics'];
const facets = ['role', 'use', 'interface', 'implemented-in', 'works-with', 'scope', 'devel', 'uitoolkit'];

const stanza = (number: number, random: () => number): string => {
  const below = (limit: number): number => Math.floor(random() * limit);
  const word = (): string => words[below(words.length)] ?? '';
  const phrase = (count: number): string => Array.from({ length: count }, word).join(' ');
  const person = below(1_000);
  const tags = [...new Set(Array.from({ length: below(8) }, () => `${facets[below(facets.length)]}::${word()}`))];
  const depends = Array.from(
    { length: below(20) },
    () => `lib${word()}-${word()}${below(9)} (>= ${below(9)}.${below(40)})`,
  );
  return [
    `Package: ${word()}-${word()}${number}`,
    `Version: ${below(9)}.${below(30)}-${1 + below(5)}`,
    `Installed-Size: ${below(90_000)}`,
    `Maintainer: Person ${person} <person${person}@example.org>`,
    `Architecture: ${random() < 0.4 ? 'all' : 'amd64'}`,
    ...(depends.length > 0 ? [`Depends: ${depends.join(', ')}`] : []),
    `Description: ${phrase(6)}`,
    ...Array.from({ length: below(4) }, (_, line) => (line === 1 ? ' .' : ` ${phrase(10)}`)),
    `Homepage: https://example.org/${word()}`,
    ...(tags.length > 0 ? [`Tag: ${tags.join(', ').replaceAll(/(.{50,80}), /g, '$1,\n ')}`] : []),
    `Section: ${sections[below(sections.length)]}`,
    'Priority: optional',
    `SHA256: ${Array.from({ length: 8 }, () =>
      below(2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('')}`,
  ].join('\n');
};

/** A package index of so many invented packages, the same for the same seed, shaped like that of a distribution. */
export const samplePackages = (count: number, seed: number): string => {
  const random = randomFrom(seed);
  return `${Array.from({ length: count }, (_, number) => stanza(number, random)).join('\n\n')}\n`;
};

const isTimeZone = (name: string): boolean => {
  try {
    // Intl also takes offsets such as +02:00, which know no daylight saving.
    return /^[A-Za-z]/.test(name) && Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
};

/** How many characters have to be put in, taken out or changed to make one text of the other. */
const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let line = 0; line < one.length; line += 1) {
    const next = [line + 1];
    for (let column = 0; column < other.length; column += 1) {
      const change = (row[column] ?? 0) + (one[line] === other[column] ? 0 : 1);
      next.push(Math.min(change, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
};

/** The known zone that was probably meant: of the same place, or but for a slip of the pen. */
const nearest = (name: string): string | undefined => {
  const wanted = name.trim().replaceAll(' ', '_').toLowerCase();
  const [best] = Intl.supportedValuesOf('timeZone')
    .map((zone) => {
      const known = zone.toLowerCase();
      const place = known.slice(known.lastIndexOf('/') + 1);
      return {
        zone,
        slips: Math.min(distance(wanted, known), distance(wanted.slice(wanted.lastIndexOf('/') + 1), place)),
      };
    })
    .toSorted((a, b) => a.slips - b.slips);
  return best && best.slips <= Math.min(2, wanted.length / 3) ? best.zone : undefined;
};

/** What is wrong with the name of a time zone; undefined for one that Intl knows. */
export const faultOfTimeZone = (name: string): string | undefined => {
  if (isTimeZone(name)) return undefined;
  const meant = name.length > 100 ? undefined : nearest(name);
  return `must be an IANA time zone such as Europe/Berlin${meant === undefined ? '' : `; is ${meant} meant?`}`;
};

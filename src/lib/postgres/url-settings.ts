/** The URL with settings for the start of each connection, beside those that it has; they are texts without blanks. */
export const withSettings = (url: string, settings: Readonly<Record<string, string>>): string => {
  const added = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  if (added.length === 0) return url;
  const parsed = new URL(url);
  const given = parsed.searchParams.get('options') ?? '';
  parsed.searchParams.set('options', [given, ...added].filter(Boolean).join(' '));
  return parsed.href;
};

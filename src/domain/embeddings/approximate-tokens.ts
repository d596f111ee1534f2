const isWordCode = (code: number): boolean =>
  (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code >= 48 && code <= 57);

/** Tokens one character outside ASCII counts for: ideographs and astral characters about one and more, letters about half. */
const tokensOfCode = (code: number): number => {
  if (code >= 0xd8_00 && code <= 0xdf_ff) return 1.5;
  if (code >= 0x2e_80) return 1.1;
  return 0.6;
};

/**
 * About how many tokens a model's tokenizer would make of `text`, without loading one: a word is one token for each six
 * of its letters begun, punctuation about one a mark, spaces belong to what follows. Within a third of cl100k on prose and
 * Markdown, and rather too high than too low on code.
 */
export const approximateTokens = (text: string): number => {
  let tokens = 0;
  let letters = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (isWordCode(code)) {
      letters += 1;
      continue;
    }
    tokens += Math.ceil(letters / 6);
    letters = 0;
    if (code > 127) tokens += tokensOfCode(code);
    else if (code > 32) tokens += 0.8;
    else if (code === 10) tokens += 0.5;
  }
  return Math.ceil(tokens + Math.ceil(letters / 6));
};

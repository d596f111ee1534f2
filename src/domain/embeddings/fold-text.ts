const marks = /\p{M}+/gu;
const plain = /^\p{ASCII}*$/u;

/** Lower case without accents and compatibility forms, for comparing words: `Ｃafé` and `CAFE` fold to `cafe`. */
export const foldText = (text: string): string =>
  plain.test(text) ? text.toLowerCase() : text.toWellFormed().normalize('NFKD').replace(marks, '').toLowerCase();

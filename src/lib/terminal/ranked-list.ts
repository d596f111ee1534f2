import { highlightText } from './highlight-text.ts';
import { cellText, shorten } from './table.ts';

export interface RankedItem {
  readonly title: string;
  readonly score: number;
  /** HTML with `<mark>`, the best first. */
  readonly highlights: readonly string[];
  /** Shown where nothing is highlighted. */
  readonly excerpt: string;
}

const width = 160;

/** What a search found, best first: rank, score and title, and below it where it matched. */
export const rankedList = (
  items: readonly RankedItem[],
  options: { readonly color: boolean; readonly from?: number },
): string =>
  items
    .map(({ title, score, highlights, excerpt }, index) => {
      const rank = String(index + 1 + (options.from ?? 0)).padStart(3);
      const [best] = highlights;
      const snippet = best === undefined ? shorten(cellText(excerpt), width) : highlightText(best, options);
      return `${rank}  ${score.toPrecision(3).padEnd(7)}  ${shorten(cellText(title), 100)}${snippet === '' ? '' : `\n     ${snippet}`}`;
    })
    .join('\n');

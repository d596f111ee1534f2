interface Seen {
  readonly atMs: number;
  readonly lsn: bigint;
}

/** Where the primary's log ended at which time, so that a replica's position tells how old its data are. */
export class WalHistory {
  readonly #keptMs: number;
  #seen: readonly Seen[] = [];

  /** Positions are forgotten after `keptMs`; who is behind for longer is behind without measure. */
  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  add(lsn: bigint, nowMs: number): void {
    this.#seen = [...this.#seen.filter(({ atMs }) => nowMs - atMs <= this.#keptMs), { atMs: nowMs, lsn }];
  }

  /** How far behind somebody is who has replayed so much; undefined: further than is known. */
  lagMs(replayed: bigint, nowMs: number): number | undefined {
    const last = this.#seen.at(-1);
    if (last !== undefined && replayed >= last.lsn) return 0;
    const reached = this.#seen.findLast(({ lsn }) => lsn <= replayed);
    return reached && nowMs - reached.atMs;
  }
}

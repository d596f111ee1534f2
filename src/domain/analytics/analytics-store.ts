import type { DayRange, SearchClick, SearchRecord, SearchTrends } from './types.ts';

/**
 * Where searches are kept and counted. Each method may be called again with the same after a failure: nothing counts twice.
 */
export interface AnalyticsStore {
  /**
   * Keeps searches, and answers how many it refused for good, for what is in them or because their workspace is gone.
   * Those it has are left as they are.
   * @throws when some could not be kept now: the caller gives the whole batch again.
   */
  record(batch: readonly SearchRecord[]): Promise<{ readonly refused: number }>;
  /**
   * Notes clicks on their searches, a document of a search once, and answers those whose search it does not have in their
   * workspace.
   * @throws when some could not be noted now: the caller gives the whole batch again.
   */
  click(batch: readonly SearchClick[]): Promise<readonly SearchClick[]>;
  /** Of one workspace, and of no other. */
  trends(workspaceId: string, range: DayRange): Promise<SearchTrends>;
  /** Workspaces with searches since then, to the day. */
  searchedSince(time: Date): Promise<readonly string[]>;
  /** Reduces what is kept of days that are over to what trends show, or drops what is too old; answers how many rare queries it forgot. */
  closeDays(signal: AbortSignal): Promise<number>;
}

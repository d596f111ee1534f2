export interface Workspace {
  readonly id: string;
  /** Stands in URLs and commands; unique. */
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  /** IANA name. */
  readonly timeZone: string;
  /** 1 at first; grows by one with every change. */
  readonly revision: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The workspace of what belongs to Treadle itself: its roles and its administrators. */
export const systemWorkspaceName = 'system';

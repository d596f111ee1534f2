const longestTenant = 200;
/** Of jobs whose workspace is no name for a tenant. */
const sharedTenant = 'long workspaces';

type WithOptions<P> = readonly [readonly P[], { readonly tenant?: string }];

/**
 * Payloads of rows of an app's own tables, whose workspaces may be texts of any length, with options under which they are
 * enqueued: one of them never keeps the others from being so.
 */
export const withTenants = <P extends { readonly workspaceId: string }>(
  payloads: readonly P[],
): readonly WithOptions<P>[] => {
  const isLong = ({ workspaceId }: P): boolean => workspaceId.length > longestTenant;
  const parts: readonly WithOptions<P>[] = [
    [payloads.filter((one) => !isLong(one)), {}],
    [payloads.filter(isLong), { tenant: sharedTenant }],
  ];
  return parts.filter(([part]) => part.length > 0);
};

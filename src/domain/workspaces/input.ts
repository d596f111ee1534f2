import { z } from 'zod';
import { storableText } from '../../lib/text/storable.ts';
import { isUuid } from '../../lib/text/uuid.ts';

const isKnownZone = (zone: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone.length > 0;
  } catch {
    return false;
  }
};

export const workspaceName = z
  .string({ error: 'must be text' })
  .regex(
    /^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$/,
    'must be 1 to 100 of a-z, 0-9, dot, dash and underscore, and begin and end with a letter or digit',
  )
  .refine((name) => !isUuid(name), 'must not look like an id');

// The same form as treadle.is_time_zone: Area/Location, UTC or GMT; no abbreviations, no offsets.
const timeZone = z
  .string({ error: 'must be text' })
  .refine(
    (zone) => /^(UTC|GMT|[A-Za-z_]+(\/[A-Za-z_-]+)+|Etc\/GMT[+-]\d{1,2})$/.test(zone) && isKnownZone(zone),
    'must be an IANA time zone such as Europe/Berlin or UTC',
  );

export const createWorkspaceInput = z.strictObject({
  name: workspaceName,
  displayName: storableText(200).optional(),
  description: storableText(2_000).optional(),
  timeZone: timeZone.optional(),
});
export type CreateWorkspaceInput = z.input<typeof createWorkspaceInput>;

export const updateWorkspaceInput = createWorkspaceInput.partial();
export type UpdateWorkspaceInput = z.input<typeof updateWorkspaceInput>;

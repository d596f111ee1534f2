import { z } from 'zod';

export const workspaceParam = z.string().min(1).max(200).describe("A workspace's name or id");
export const inWorkspace = z.object({ ws: workspaceParam });

export const workspace = z
  .object({
    id: z.string(),
    name: z.string().describe('Stands in URLs and commands; unique'),
    displayName: z.string(),
    description: z.string(),
    timeZone: z.string().describe('IANA name'),
    revision: z.number().describe('1 at first; grows by one with every change'),
    createdAt: z.date(),
    updatedAt: z.date(),
  })
  .meta({ id: 'Workspace' });

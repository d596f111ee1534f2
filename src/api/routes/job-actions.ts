import { z } from 'zod';
import type { JobRecord } from '../../queues/ledger/job-record.ts';
import type { JobStore } from '../../queues/ports.ts';
import { principalOf } from '../access/principal-of.ts';
import { needsOfTenant } from '../access/route-access.ts';
import { checkHousekeeping, findJobFor } from '../access/tenant.ts';
import type { Api, RouteParts } from '../api.ts';
import { job, jobId } from '../schemas/job.ts';

interface Action {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly act: (jobs: JobStore, id: string) => Promise<JobRecord>;
}

const actions: readonly Action[] = [
  {
    name: 'cancel',
    summary: 'Cancel a job',
    description: "An open job ends as cancelled; a running one's signal is aborted, on whatever machine it runs.",
    act: (jobs, id) => jobs.cancel(id),
  },
  {
    name: 'retry',
    summary: 'Run a job again now',
    description: 'For jobs that are dead, cancelled, or waiting for their next attempt.',
    act: (jobs, id) => jobs.retry(id),
  },
  {
    name: 'promote',
    summary: 'Run a delayed job now',
    description: 'A job that is not delayed is left as it is: 409.',
    act: (jobs, id) => jobs.promote(id),
  },
];

/** What can be done to a job from outside. */
export const addJobActionRoutes = (app: Api, { platform }: RouteParts): void => {
  for (const { name, summary, description, act } of actions) {
    app.route({
      method: 'POST',
      url: `/v1/jobs/:id/${name}`,
      config: needsOfTenant('jobs:write'),
      schema: { tags: ['jobs'], summary, description, params: z.object({ id: jobId }), response: { 200: job } },
      handler: async (request) => {
        const principal = principalOf(request);
        const { id, queue } = await findJobFor(platform.jobs, principal, request.params.id);
        checkHousekeeping(principal, platform.registry, queue);
        return act(platform.jobs, id);
      },
    });
  }
};

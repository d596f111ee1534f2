import type { JobContract } from '../../queues/define-job.ts';
import type { FlowNode } from '../../queues/flows/prepare-flow.ts';
import type { EnqueueRequest } from '../../queues/ports.ts';
import { needsOfTenant } from '../access/route-access.ts';
import { principalOf } from '../access/principal-of.ts';
import { confineEnqueue } from '../access/tenant.ts';
import type { Api, RouteParts } from '../api.ts';
import { acceptedJob, flowBody, type FlowRequest } from '../schemas/job.ts';

interface NodeParts {
  readonly contractOf: (name: string) => JobContract;
  readonly confine: (request: EnqueueRequest) => EnqueueRequest;
}

const nodeOf = ({ children = [], onChildFailure = 'fail', ...request }: FlowRequest, parts: NodeParts): FlowNode => {
  const { name, payload, options = {} } = parts.confine(request);
  return {
    contract: parts.contractOf(name),
    payload,
    options,
    onChildFailure,
    children: children.map((child) => nodeOf(child, parts)),
  };
};

/** Jobs that wait for other jobs. */
export const addFlowRoutes = (app: Api, { platform }: RouteParts): void => {
  app.route({
    method: 'POST',
    url: '/v1/flows',
    config: needsOfTenant('jobs:write'),
    schema: {
      tags: ['jobs'],
      summary: 'Enqueue jobs that wait for each other, all or none',
      description:
        'Each job runs when its children have ended. `onChildFailure` says what becomes of it when one of them fails: `fail` (the default) or `continue`. Answers the job at the root; `GET /v1/jobs?parent=` lists the children of a job.',
      body: flowBody,
      response: { 202: acceptedJob },
    },
    handler: async (request, reply) => {
      const principal = principalOf(request);
      const root = nodeOf(request.body, {
        contractOf: (name) => platform.registry.get(name),
        confine: (node) => confineEnqueue(principal, platform.registry, node),
      });
      return reply.code(202).send(await platform.enqueuer.enqueueFlow(root));
    },
  });
};

import { describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const api = useApi();

describe('the OpenAPI document', () => {
  test('describes every route: summary, tag, scope, answers and errors', async () => {
    const { status, body: document } = await api.call('GET', '/docs/json');
    expect(status).toBe(200);
    expect(document.openapi).toBe('3.1.0');
    const operations = Object.entries<Record<string, Record<string, unknown>>>(document.paths).flatMap(
      ([path, methods]) =>
        Object.entries(methods).map(([method, operation]) => ({ route: `${method} ${path}`, operation })),
    );
    for (const { route, operation } of operations) {
      expect([route, operation['summary']]).toEqual([route, expect.any(String)]);
      expect([route, operation['tags']]).toEqual([route, [expect.any(String)]]);
      expect([route, operation['description']]).toEqual([
        route,
        expect.stringMatching(/Needs the scope|Open to everybody/),
      ]);
      expect(Object.keys(operation['responses'] ?? {})).toEqual(expect.arrayContaining(['400', '429', '500', '503']));
    }
    expect(operations.map(({ route }) => route)).toEqual(
      expect.arrayContaining([
        'post /v1/jobs',
        'post /v1/jobs/batch',
        'get /v1/jobs/{id}/events',
        'put /v1/schedules/{name}',
        'patch /v1/workspaces/{ws}/knowledge/{id}',
        'get /health/live',
      ]),
    );
    expect(operations.some(({ route }) => route.includes('/board') || route.includes('/login'))).toBe(false);
  });

  test('knows the options of an enqueue and what errors look like', async () => {
    const { body: document } = await api.call('GET', '/docs/json');
    const text = JSON.stringify(document.paths['/v1/jobs'].post.requestBody);
    for (const option of ['delayMs', 'runAt', 'priority', 'deduplicationKey']) expect(text).toContain(`"${option}"`);
    const publish = document.paths['/v1/events'].post;
    expect(publish.responses).toHaveProperty('404');
    expect(publish.requestBody.content['application/json'].schema.anyOf).toEqual([
      expect.objectContaining({ required: ['type', 'aggregateId'], additionalProperties: false }),
      expect.objectContaining({ required: ['events'], additionalProperties: false }),
    ]);
    const followed = document.paths['/v1/presence/{documentId}/events'].get;
    expect(followed.parameters).toContainEqual(expect.objectContaining({ in: 'header', name: 'last-event-id' }));
    expect(document.components.schemas.Error.properties.error.properties).toHaveProperty('requestId');
    expect(JSON.stringify(document)).not.toContain('undefined');
  });
});

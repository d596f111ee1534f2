import { connect } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { useApi } from './use-api.ts';

const maxBytes = 4_096;
const api = useApi({ env: { TREADLE_MAX_BODY_BYTES: String(maxBytes) } });
const json = { 'content-type': 'application/json' };
const body = { name: 'app.greet', payload: { to: 'Ada' } };
let port = 0;
beforeAll(async () => {
  port = Number(new URL(await api.server.listen()).port);
});

/** Sends bytes over a socket and answers everything that comes back. */
const send = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part;
    });
    socket.on('error', reject).on('close', () => resolve(answer));
    socket.setTimeout(5_000, () => socket.destroy());
  });

describe('every error', () => {
  test('has one shape, and carries the id of its request', async () => {
    const answer = await api.call('GET', '/v1/nothing', { headers: { 'x-request-id': 'my-request-7' } });
    expect(answer.status).toBe(404);
    expect(answer.headers['x-request-id']).toBe('my-request-7');
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.body).toEqual({
      error: {
        code: 'NOT_FOUND',
        message: 'there is nothing at this address',
        details: { entity: 'route' },
        requestId: 'my-request-7',
      },
    });
  });

  test('a request id that could break a log or a header is replaced', async () => {
    const answer = await api.call('GET', '/health/live', { headers: { 'x-request-id': 'a b"c' } });
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('of a method that an address does not take is 405, with those it takes', async () => {
    const answer = await api.call('PUT', '/v1/jobs/00000000-0000-7000-8000-000000000000');
    expect(answer.status).toBe(405);
    expect(answer.headers['allow']).toBe('GET, HEAD');
    expect(answer.body.error.code).toBe('METHOD_NOT_ALLOWED');
  });

  test('tells nothing of what went wrong inside', async () => {
    await api.database.query('ALTER TABLE treadle.schedules RENAME TO schedules_gone');
    try {
      const answer = await api.call('GET', '/v1/schedules');
      expect(answer.status).toBe(500);
      expect(answer.body.error).toMatchObject({
        code: 'INTERNAL_ERROR',
        message: 'an unexpected error occurred',
        details: {},
      });
    } finally {
      await api.database.query('ALTER TABLE treadle.schedules_gone RENAME TO schedules');
    }
  });
});

describe('a body', () => {
  test('over the limit is 413 and names the limit', async () => {
    const answer = await api.call('POST', '/v1/jobs', { body: { ...body, payload: { to: 'x'.repeat(maxBytes) } } });
    expect(answer.status).toBe(413);
    expect(answer.body.error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', details: { maxBytes } });
  });

  test('over the limit is refused without a Content-Length as well', async () => {
    const chunk = 'x'.repeat(1_000);
    const chunks = Array.from({ length: 6 }, () => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('');
    const answer = await send(
      `POST /v1/jobs HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${chunks}0\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test.each(['{"name":', '{"a":1}}', "{'a':1}", 'null,', '\u0000'])('that is not JSON (%j) is 400', async (raw) => {
    const answer = await api.call('POST', '/v1/jobs', { raw, headers: json });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.faults).toEqual([{ path: '', message: 'is not well-formed JSON' }]);
  });

  test.each(['null', '[]', '"text"', '7'])('that is no object (%s) is 400', async (raw) => {
    expect((await api.call('POST', '/v1/jobs', { raw, headers: json })).status).toBe(400);
  });

  test('that is missing is 400', async () => {
    expect((await api.call('POST', '/v1/jobs')).status).toBe(400);
    expect((await api.call('POST', '/v1/jobs', { raw: '', headers: json })).status).toBe(400);
  });

  test('that would change prototypes is 400', async () => {
    const raw = '{"name":"app.greet","payload":{"to":"a","__proto__":{"admin":true}}}';
    expect((await api.call('POST', '/v1/jobs', { raw, headers: json })).status).toBe(400);
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/jsonp',
    'nonsense',
  ])('of type %s is 415', async (type) => {
    const answer = await api.call('POST', '/v1/jobs', { raw: JSON.stringify(body), headers: { 'content-type': type } });
    expect(answer.status).toBe(415);
    expect(answer.body.error.code).toBe('UNSUPPORTED_MEDIA_TYPE');
  });

  test('without a content type is 415', async () => {
    expect((await api.call('POST', '/v1/jobs', { raw: JSON.stringify(body) })).status).toBe(415);
  });

  test('may name a charset', async () => {
    const answer = await api.call('POST', '/v1/jobs', {
      raw: JSON.stringify(body),
      headers: { 'content-type': 'application/json; charset=utf-8' },
    });
    expect(answer.status).toBe(202);
  });
});

describe('what is not HTTP', () => {
  test('is answered with 400 in the same shape', async () => {
    const answer = await send('NONSENSE\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '').error.code).toBe('VALIDATION_ERROR');
  });

  test('headers without end are answered with 431', async () => {
    const answer = await send(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'x'.repeat(70_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });

  test('an address that is not well-formed is 400', async () => {
    const answer = await api.call('GET', '/v1/jobs/%zz');
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe('VALIDATION_ERROR');
  });
});

test('a port in use is a fault of TREADLE_PORT', async () => {
  const { createServer } = await import('../../src/api/server.ts');
  const { config } = api.platform;
  const other = await createServer({ ...api.platform, config: { ...config, http: { ...config.http, port } } });
  await expect(other.listen()).rejects.toMatchObject({
    code: 'CONFIGURATION_ERROR',
    details: { faults: [{ variable: 'TREADLE_PORT' }] },
  });
  await other.close();
});

import { Cluster, Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { AppError } from '../../../src/lib/errors/app-error.ts';
import { isConnectionError, serializeError, toAppError } from '../../../src/lib/errors/classify.ts';
import { useDatabase } from '../../services/database.ts';

const database = useDatabase();

const failureOf = (text: string, values?: unknown[]): Promise<unknown> =>
  database.query(text, values).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('an error of Postgres', () => {
  test('that breaks a rule names the rule, and repeats no value', async () => {
    await database.query('CREATE TABLE accounts (email text CONSTRAINT one_account_an_email PRIMARY KEY)');
    await database.query('INSERT INTO accounts VALUES ($1)', ['somebody@example.com']);
    const error = toAppError(await failureOf('INSERT INTO accounts VALUES ($1)', ['somebody@example.com']));
    expect(error).toMatchObject({ code: 'DATA_CONSISTENCY_ERROR', status: 409, retryable: false });
    expect(error.message).toContain('one_account_an_email');
    expect(JSON.stringify([error.message, error.details])).not.toContain('somebody');
  });

  test('about NUL in a text is a fault of the input', async () => {
    const error = toAppError(await failureOf('SELECT $1::text', ['a\u0000b']));
    expect(error).toMatchObject({ code: 'VALIDATION_ERROR', status: 400 });
  });

  test('about NUL in JSON is a fault of the input', async () => {
    const error = toAppError(await failureOf(`SELECT '{"a":"\\u0000"}'::jsonb`));
    expect(error).toMatchObject({ code: 'VALIDATION_ERROR', status: 400 });
  });

  test('about a text that is too long for an index is a fault of the input', async () => {
    await database.query('CREATE TABLE marks (text text PRIMARY KEY)');
    const long = `INSERT INTO marks SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n`;
    expect(toAppError(await failureOf(long))).toMatchObject({ code: 'VALIDATION_ERROR', status: 400 });
  });

  test('about the statement time-out is TIMEOUT', async () => {
    const error = toAppError(await failureOf(`SET statement_timeout = 20; SELECT pg_sleep(5)`));
    expect(error).toMatchObject({ code: 'TIMEOUT', retryable: true });
  });

  test('about a lost connection may pass', async () => {
    const failure = await failureOf('SELECT pg_terminate_backend(pg_backend_pid())');
    expect(isConnectionError(failure)).toBe(true);
    expect(toAppError(failure)).toMatchObject({ code: 'DB_CONNECTION_ERROR', status: 503, retryable: true });
  });

  test('that nobody expected is INTERNAL_ERROR without its text', async () => {
    const error = toAppError(await failureOf(`SELECT 'secret'::integer`));
    expect(error).toMatchObject({ code: 'INTERNAL_ERROR', status: 500 });
    expect(error.message).not.toContain('secret');
  });
});

test('a refused connection may pass', () => {
  expect(toAppError(Object.assign(new Error('no'), { code: 'ECONNREFUSED' })).code).toBe('DB_CONNECTION_ERROR');
  const both = new AggregateError([Object.assign(new Error('no'), { code: 'ECONNREFUSED' })]);
  expect(isConnectionError(both)).toBe(true);
});

describe('what Redis answers', () => {
  const replyOf = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' });

  test.each([
    `READONLY You can't write against a read only replica.`,
    "ERR Error running script (call to f_1f): @user_script:1: @user_script: 1: -READONLY You can't write",
    'LOADING Redis is loading the dataset in memory',
    'MASTERDOWN Link with MASTER is down',
    'UNBLOCKED force unblock from blocking operation',
    'MOVED 866 127.0.0.1:7001',
    'ASK 866 127.0.0.1:7001',
    'CLUSTERDOWN Hash slot not served',
    'TRYAGAIN Multiple keys request during rehashing of slot',
    'NOREPLICAS Not enough good replicas to write.',
  ])('while another server takes over may pass: %s', (message) => {
    expect(isConnectionError(replyOf(message))).toBe(true);
    expect(toAppError(replyOf(message))).toMatchObject({ code: 'SERVICE_UNAVAILABLE', details: { service: 'redis' } });
  });

  test('about a command is no lost connection', () => {
    expect(isConnectionError(replyOf('WRONGTYPE Operation against a key'))).toBe(false);
    expect(isConnectionError(replyOf('ERR unknown command'))).toBe(false);
    expect(isConnectionError(new Error('MOVED to another town'))).toBe(false);
  });

  test('cannot be had without a connection, which may pass', async () => {
    const client = new Redis({ port: 9, lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => 1 });
    const cluster = new Cluster([{ port: 9 }], { lazyConnect: true, clusterRetryStrategy: () => null });
    for (const each of [client, cluster]) {
      each.on('error', () => undefined);
      const failure = await each.get('key').catch((error: unknown) => error);
      each.disconnect();
      expect(isConnectionError(failure)).toBe(true);
    }
  });
});

test('an error of the catalogue stays what it is', () => {
  const error = new AppError('RATE_LIMITED', 'later', { retryAfterMs: 5 });
  expect(toAppError(error)).toBe(error);
});

test('what is kept of anything thrown has a code and a message', () => {
  expect(serializeError(new AppError('NOT_FOUND', 'it is gone', {}))).toMatchObject({
    code: 'NOT_FOUND',
    message: 'it is gone',
  });
  expect(serializeError(Object.assign(new Error('no'), { code: 'EPIPE' }))).toMatchObject({ code: 'EPIPE' });
  expect(serializeError(new TypeError('no'))).toMatchObject({ code: 'TypeError' });
  expect(serializeError('words')).toEqual({ code: 'UNKNOWN', message: 'words' });
  expect(serializeError({ anything: 1 })).toMatchObject({ code: 'UNKNOWN' });
});

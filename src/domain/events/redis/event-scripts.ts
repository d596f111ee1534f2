import { redisScript } from '../../../lib/redis/redis-script.ts';

/**
 * Keeps events. Whatever is at the key of one and is no hash, such as a text of somebody else's, is replaced; an event that is
 * there stays as it is, and its time begins anew.
 *
 * KEYS     the hashes of the events
 * ARGV     the time to live in ms, then of each event: data, type, occurredOn, aggregateId, version
 */
export const saveEvents = redisScript(`
for i = 1, #KEYS do
  local key = KEYS[i]
  local at = 5 * i - 3
  if redis.call('EXISTS', key) == 1 and redis.pcall('HEXISTS', key, 'data') ~= 1 then
    redis.call('DEL', key)
  end
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'data', ARGV[at], 'type', ARGV[at + 1], 'occurredOn', ARGV[at + 2], 'aggregateId', ARGV[at + 3],
      'version', ARGV[at + 4])
  end
  redis.call('PEXPIRE', key, ARGV[1])
end
`);

/**
 * Adds members to an index, and takes out a bounded number of those whose time is over: more than are added, so that an index
 * shrinks to what lives.
 *
 * KEYS[1]  members by score
 * KEYS[2]  the same members by when their time is over
 * ARGV     the time to live in ms, then scores and members
 */
export const addToIndex = redisScript(`
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100 + #ARGV)
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
  redis.call('ZREM', KEYS[2], unpack(gone))
end
local ends = {}
for i = 2, #ARGV, 2 do
  ends[i - 1] = now + ARGV[1]
  ends[i] = ARGV[i + 1]
end
redis.call('ZADD', KEYS[1], unpack(ARGV, 2))
redis.call('ZADD', KEYS[2], unpack(ends))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
`);

/**
 * Counts the members of an index whose time is not over.
 *
 * KEYS[1]  members by when their time is over
 */
export const countIndex = redisScript(`
local now = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[1], now[1] * 1000 + math.floor(now[2] / 1000) + 1, '+inf')
`);

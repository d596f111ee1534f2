import { redisScript } from '../../../lib/redis/redis-script.ts';

/**
 * Keeps one event. Whatever is at its key and is not this event, such as a string of somebody else's, is replaced.
 *
 * KEYS[1]  the hash of the event
 * ARGV     its id, its time to live in ms, then fields and values
 */
export const saveEvent = redisScript(`
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' or redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'id', ARGV[1], unpack(ARGV, 3))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
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
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[i + 1])
end
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

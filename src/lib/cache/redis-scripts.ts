import { redisScript } from '../redis/redis-script.ts';

/*
 * An entry has two keys with one hash tag: its value, and the claim of whoever computes it. A claim is what a store is
 * checked against: whatever invalidates the entry removes the claim as well, so that what was read before is refused. A tag
 * is a sorted set of the entries that carry it, by the time (in microseconds) until which they may live. An entry is written
 * to its tags behind the claim and before its source is read: an invalidation of the tag then finds it, or came before the
 * reading. See docs/decisions/0014-what-a-cache-may-keep.md.
 */

/**
 * Claims an entry, and answers what there is of it: `[1 | 0, value]`. KEYS: value, claim. ARGV: token, ms, 1: over the head of
 * others.
 */
export const claimEntry = redisScript(`
local value = redis.call('GET', KEYS[1])
if ARGV[3] == '1' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) return {1, value} end
local claimed = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
return {claimed and 1 or 0, value}
`);

/** Keeps a claim for longer; answers whether it is still there. KEYS: claim. ARGV: token, ms. */
export const renewClaim = redisScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`);

/** Gives a claim back. KEYS: claim. ARGV: token. */
export const releaseClaim = redisScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`);

/** Stores what was computed under a claim that still holds; answers whether. KEYS: value, claim. ARGV: token, value, ms. */
export const storeClaimed = redisScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
`);

/** Stores whatever is computed elsewhere. KEYS: value, claim. ARGV: value, ms. */
export const storeOver = redisScript(`
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
`);

/** Writes an entry to a tag, and takes out up to a hundred that are long gone. KEYS: tag. ARGV: entry, ms it may live. */
export const tagEntry = redisScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
local score = now + ARGV[2] * 1000
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- It grows with every entry made: whoever saw the one before does not take out this one.
if known and tonumber(known) >= score then score = tonumber(known) + 1 end
redis.call('ZADD', KEYS[1], string.format('%.0f', score), ARGV[1])
local lives = math.ceil((score - now) / 1000) + 60000
if redis.call('PTTL', KEYS[1]) < lives then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', lives)) end
return 1
`);

/** Takes entries out of a tag that are as they were seen. KEYS: tag. ARGV: entry, score, … */
export const untagEntries = redisScript(`
local removed = 0
for i = 1, #ARGV, 2 do
  local known = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if known and tonumber(known) == tonumber(ARGV[i + 1]) then removed = removed + redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return removed
`);

/**
 * Adds to a counter, which is plain digits; a kept whole number becomes one. Answers -1 and nothing for what is none. KEYS:
 * value, claim. ARGV: by, ms.
 */
export const addToCounter = redisScript(`
local held = redis.call('GET', KEYS[1])
if held and not string.find(held, '^%-?%d+$') then
  local number = string.match(held, '^$1,[%d,]+;(%-?%d+)$')
  if not number then return {0} end
  redis.call('SET', KEYS[1], number)
end
redis.call('DEL', KEYS[2])
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, tostring(redis.call('GET', KEYS[1]))}
`);

/** Adds to a set; answers how many were new. KEYS: set. ARGV: ms, member, … */
export const addMembers = redisScript(`
local added = redis.call('SADD', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return added
`);

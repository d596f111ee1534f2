import { redisScript } from '../../lib/redis/redis-script.ts';

// A session is a hash of `user`, `data` (JSON), and `created`, `seen` (the last access) and `ends` in milliseconds; it expires
// with its key. Found ones are answered as user, data, created, seen, expires and whether an access is to be written.

const now = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function found(touchAfterMs)
  local kept = redis.call('HMGET', KEYS[1], 'user', 'data', 'created', 'seen', 'ends')
  if not kept[1] then return nil end
  local due = now - kept[4] >= tonumber(touchAfterMs)
  return { kept[1], kept[2], kept[3], kept[4], whole(now + redis.call('PTTL', KEYS[1])), due and '1' or '0' }
end`;

/** KEYS: the session. ARGV: user, data, ttlMs, maxAgeMs, touchAfterMs. */
export const createScript = redisScript(`${now}
redis.call('HSET', KEYS[1], 'user', ARGV[1], 'data', ARGV[2], 'created', whole(now), 'seen', whole(now), 'ends', whole(now + ARGV[4]))
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[3]), tonumber(ARGV[4])))
return found(ARGV[5])`);

/** KEYS: the session. ARGV: touchAfterMs. Writes nothing. */
export const peekScript = redisScript(`${now}
return found(ARGV[1])`);

/** KEYS: the session. ARGV: ttlMs, touchAfterMs. Notes an access, unless somebody just did. */
export const touchScript = redisScript(`${now}
local session = found(ARGV[2])
if not session or session[6] == '0' then return session end
local ends = redis.call('HGET', KEYS[1], 'ends')
redis.call('HSET', KEYS[1], 'seen', whole(now))
redis.call('PEXPIREAT', KEYS[1], whole(math.min(now + ARGV[1], tonumber(ends))))
return found(ARGV[2])`);

/** KEYS: the session. ARGV: whose it must be, empty for anybody's. Answers whose it was. */
export const destroyScript = redisScript(`
local user = redis.call('HGET', KEYS[1], 'user')
if not user or (ARGV[1] ~= '' and ARGV[1] ~= user) then return nil end
redis.call('DEL', KEYS[1])
return user`);

/** KEYS: a user's list. ARGV: handle, for how long from now it may live. Drops up to a hundred that can't be alive. */
export const noteScript = redisScript(`${now}
redis.call('ZADD', KEYS[1], whole(now + ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, 100)
if #dead > 0 then redis.call('ZREM', KEYS[1], unpack(dead)) end
return 1`);

/** KEYS: a user's list. ARGV: offset, count. */
export const listScript = redisScript(`
return redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', '-inf', 'LIMIT', ARGV[1], ARGV[2])`);

import { redisScript } from '../../lib/redis/redis-script.ts';

// A document has five keys of one hash tag: `users`, a hash of records by user (JSON: `j` joined at, `q` the sequence of that
// event, `n` when the indexes were last told of the user, `c` the connections by socket: `j` joined at, `s` last seen, `a` the
// activity, itself JSON); `expiry`, the users by when their first connection is past its time; `joined`, the users by the
// sequence of their joining; `events`, a stream whose ids are sequences; and `sequence`, a hash of `first` and `last`. They
// outlive the last of their users by a day, so that the cleanup finds who is left. Times are in milliseconds.

const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end`;

/** KEYS: users, expiry, joined, events, sequence. ARGV: ttlMs, channel, keepMs, then those of the script. */
const document = `${clock}
local ttl, channel, keepMs = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local function keep()
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, keepMs) end
end
local function event(type, user, socket, reason)
  if redis.call('EXISTS', KEYS[5]) == 0 then
    redis.call('HSET', KEYS[5], 'first', whole(now + 1), 'last', whole(now))
  end
  local sequence = redis.call('HINCRBY', KEYS[5], 'last', 1)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000, whole(sequence) .. '-0',
    'type', type, 'user', user, 'socket', socket, 'reason', reason, 'at', whole(now))
  redis.call('PUBLISH', channel, whole(sequence))
  return sequence
end
local function last() return redis.call('HGET', KEYS[5], 'last') or '0' end
local function load(user)
  local text = redis.call('HGET', KEYS[1], user)
  return text and cjson.decode(text)
end
local function save(user, record)
  local first
  for _, connection in pairs(record.c) do
    if not first or connection.s < first then first = connection.s end
  end
  redis.call('HSET', KEYS[1], user, cjson.encode(record))
  redis.call('ZADD', KEYS[2], whole(first + ttl), user)
end
-- Takes out connections past their time, and those asked for: one, or all with ''. Answers how many of these there were, how
-- many went in all, and the record if somebody is left.
local function takeOut(user, record, socket)
  local asked, all, latest, latestSeen, left = 0, 0, nil, -1, false
  for name, connection in pairs(record.c) do
    local stale = connection.s <= now - ttl
    if stale or socket == '' or socket == name then
      record.c[name] = nil
      all = all + 1
      if not stale then asked = asked + 1 end
      if connection.s > latestSeen then latest, latestSeen = name, connection.s end
    else
      left = true
    end
  end
  if left then return asked, all, record end
  redis.call('HDEL', KEYS[1], user)
  redis.call('ZREM', KEYS[2], user)
  redis.call('ZREM', KEYS[3], user)
  event('left', user, latest, asked > 0 and 'removed' or 'expired')
  return asked, all, nil
end`;

/** ARGV beyond those of documents: user, socket, activity (empty: as it was), most connections. Answers outcome and sequence. */
export const joinScript = redisScript(`${document}
local user, socket, activity = ARGV[4], ARGV[5], ARGV[6]
local record, outcome, _ = load(user), 'present', nil
if record then _, _, record = takeOut(user, record, nil) end
if record and not record.c[socket] then
  local count = 0
  for _ in pairs(record.c) do count = count + 1 end
  if count >= tonumber(ARGV[7]) then
    save(user, record)
    return { 'full', last() }
  end
end
if not record then
  local sequence = event('joined', user, socket, '')
  record, outcome = { j = now, q = sequence, c = {} }, 'joined'
  redis.call('ZADD', KEYS[3], whole(sequence), user)
end
local connection = record.c[socket] or { j = now }
connection.s = now
if activity ~= '' then connection.a = activity end
record.c[socket] = connection
record.n = now
save(user, record)
keep()
return { outcome, last() }`);

/**
 * ARGV beyond: user, socket, activity, noteAfterMs. Answers 0 when there is no such connection, 1 when it lives on, 2 when it
 * does and the indexes are to be told of it again.
 */
export const heartbeatScript = redisScript(`${document}
local record = load(ARGV[4])
local connection = record and record.c[ARGV[5]]
if not connection or connection.s <= now - ttl then return 0 end
connection.s = now
if ARGV[6] ~= '' then connection.a = ARGV[6] end
local due = now - record.n >= tonumber(ARGV[7])
if due then
  record.n = now
  keep()
end
save(ARGV[4], record)
return due and 2 or 1`);

/** ARGV beyond: user, socket (empty: all). Answers how many there were. */
export const leaveScript = redisScript(`${document}
local record = load(ARGV[4])
if not record then return 0 end
local asked, _, left = takeOut(ARGV[4], record, ARGV[5])
if left then save(ARGV[4], left) end
keep()
return asked`);

/** ARGV beyond: how many users at most. Answers how many connections and users went, how many were looked at, and when the next is due (0: never). */
export const expireScript = redisScript(`${document}
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'LIMIT', 0, ARGV[4])
local connections, users = 0, 0
for _, user in ipairs(due) do
  local record = load(user)
  if record then
    local _, gone, left = takeOut(user, record, nil)
    connections = connections + gone
    if left then save(user, left) else users = users + 1 end
  else
    redis.call('ZREM', KEYS[2], user)
  end
end
if #due > 0 then keep() end
local next = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return { connections, users, #due, next[2] or '0' }`);

/** KEYS: users, joined, sequence. ARGV: next or prev, beyond which sequence (empty: from the end), how many. Answers now, the sequence, and users with their records. */
export const usersScript = redisScript(`${clock}
local names
if ARGV[1] == 'next' then
  names = redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[2] == '' and '-inf' or '(' .. ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
else
  names = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[2] == '' and '+inf' or '(' .. ARGV[2], '-inf', 'LIMIT', 0, ARGV[3])
end
local answer = { whole(now), redis.call('HGET', KEYS[3], 'last') or '0' }
for _, name in ipairs(names) do
  answer[#answer + 1] = name
  answer[#answer + 1] = redis.call('HGET', KEYS[1], name)
end
return answer`);

/** KEYS: users. ARGV: user. Answers now, and the record if there is one. */
export const userScript = redisScript(`${clock}
return { whole(now), redis.call('HGET', KEYS[1], ARGV[1]) }`);

/** KEYS: events, sequence. ARGV: after which sequence, how many. Answers the first and last sequence, and entries of the stream. */
export const eventsScript = redisScript(`
local range = redis.call('HMGET', KEYS[2], 'first', 'last')
if not range[1] then return { '0', '0', {} } end
return { range[1], range[2], redis.call('XRANGE', KEYS[1], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2]) }`);

// Which documents are to be looked at, and when: a few sorted sets over all documents. A document with anybody in it is in
// its set, no later than when its first user is past their time: a document is put there before a user is put into it. Only
// the cleanup takes it out, and only if nobody put it there while it looked: that moves it a millisecond forward.

/** KEYS: a set of documents. ARGV: document, ttlMs, keepMs. */
export const registerScript = redisScript(`${clock}
if redis.call('ZADD', KEYS[1], 'NX', whole(now + ARGV[2]), ARGV[1]) == 0 then redis.call('ZINCRBY', KEYS[1], -1, ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`);

/** KEYS: a set of documents. ARGV: how many, leaseMs. Puts off those that are due, and answers until when, and which. */
export const claimScript = redisScript(`${clock}
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, ARGV[1])
local lease = whole(now + ARGV[2])
for _, name in ipairs(due) do redis.call('ZADD', KEYS[1], lease, name) end
return { lease, unpack(due) }`);

/** KEYS: a set of documents. ARGV: lease, keepMs, then documents, each with when it is due next (0: never). */
export const settleScript = redisScript(`
for index = 3, #ARGV, 2 do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[index])
  if score and tonumber(score) == tonumber(ARGV[1]) then
    if ARGV[index + 1] == '0' then redis.call('ZREM', KEYS[1], ARGV[index])
    else redis.call('ZADD', KEYS[1], ARGV[index + 1], ARGV[index]) end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`);

// The documents of a user, by how long the user may be in them at most. It may name documents that the user has left.

/** KEYS: a user's documents. ARGV: document, keepMs. Drops up to a hundred that are past their time. */
export const noteScript = redisScript(`${clock}
redis.call('ZADD', KEYS[1], whole(now + ARGV[2]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local past = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, 100)
if #past > 0 then redis.call('ZREM', KEYS[1], unpack(past)) end
return 1`);

/** KEYS: a user's documents. ARGV: offset, count. */
export const notedScript = redisScript(`${clock}
return redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', '(' .. whole(now), 'LIMIT', ARGV[1], ARGV[2])`);

/** KEYS: a user's documents. ARGV: keepMs, then documents that the user is not in. Leaves those noted in the last minute: the user may be about to join. */
export const dropScript = redisScript(`${clock}
local dropped = 0
for index = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[index])
  if score and tonumber(score) <= now + ARGV[1] - 60000 then dropped = dropped + redis.call('ZREM', KEYS[1], ARGV[index]) end
end
return dropped`);

// The Lua scripts of the Redis state store (docs/formats/state.md tells what the keys hold). They
// compare, write, delete and append; the rules of jobs are in scheduler/core, not here. All
// numbers that are compared for equality are compared as text: Lua's are doubles.
#pragma once

namespace swage {

// KEYS: leader, keys, events, ends; then one a write, one a trim, one an event.
// ARGV: incarnation, number of writes, number of trims; a write: key, expected version, what to
// store ("" deletes); a trim: stream, last number to go; an event: stream, value.
// Returns -1 when something is not as expected, else the sequence of the last event (0: none).
// All checks stand before the first write: Redis does not roll a script back.
inline constexpr char kApplyScript[] = R"lua(
if ARGV[1] ~= '0' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local writes, trims = tonumber(ARGV[2]), tonumber(ARGV[3])
local key, arg = 4, 3
for i = 1, writes do
  local want = ARGV[arg + 3 * i - 1]
  local head = redis.call('GETRANGE', KEYS[key + i], 0, 20)
  if want == '0' then
    if head ~= '' then return -1 end
  elseif string.sub(head, 1, #want + 1) ~= want .. '\n' then
    return -1
  end
end
for i = 1, writes do
  local name, want, bytes = ARGV[arg + 3 * i - 2], ARGV[arg + 3 * i - 1], ARGV[arg + 3 * i]
  if bytes ~= '' then
    redis.call('SET', KEYS[key + i], bytes)
    if want == '0' then redis.call('ZADD', KEYS[2], 0, name) end
  elseif want ~= '0' then
    redis.call('DEL', KEYS[key + i])
    redis.call('ZREM', KEYS[2], name)
  end
end
key, arg = key + writes, arg + 3 * writes
for i = 1, trims do
  local stream, up_to = KEYS[key + i], ARGV[arg + 2 * i]
  local last = redis.call('ZRANGE', stream, -1, -1, 'WITHSCORES')
  if last[2] then
    local gone = redis.call('ZRANGE', stream, '-inf', up_to, 'BYSCORE')
    for first = 1, #gone, 1000 do
      redis.call('XDEL', KEYS[3], unpack(gone, first, math.min(first + 999, #gone)))
    end
    if tonumber(up_to) >= tonumber(last[2]) then
      redis.call('DEL', stream)
      redis.call('HSET', KEYS[4], ARGV[arg + 2 * i - 1], string.format('%.0f', last[2]))
    else
      redis.call('ZREMRANGEBYSCORE', stream, '-inf', up_to)
    end
  end
end
key, arg = key + trims, arg + 2 * trims
local sequence = 0
for i = 1, #KEYS - key do
  local stream, name = KEYS[key + i], ARGV[arg + 2 * i - 1]
  local number = redis.call('ZRANGE', stream, -1, -1, 'WITHSCORES')[2]
  if not number then
    number = redis.call('HGET', KEYS[4], name)
    if number then redis.call('HDEL', KEYS[4], name) end
  end
  number = string.format('%.0f', (number or 0) + 1)
  local id = redis.call('XADD', KEYS[3], '0-*', 's', name, 'n', number, 'v', ARGV[arg + 2 * i])
  redis.call('ZADD', stream, number, id)
  sequence = tonumber(string.sub(id, 3))
end
return sequence
)lua";

// KEYS: the stream, events. ARGV: after which number, how many. Returns entries as XRANGE does.
inline constexpr char kReadStreamScript[] = R"lua(
local ids = redis.call('ZRANGE', KEYS[1], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2])
local found = {}
for i, id in ipairs(ids) do found[i] = redis.call('XRANGE', KEYS[2], id, id)[1] end
return found
)lua";

// KEYS: leader. ARGV: the incarnation that is there ("" for none), the next. Returns 1 when set.
inline constexpr char kTakeLeadershipScript[] = R"lua(
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
)lua";

// A server that was not this one before (a restart, a failover) may have lost the last events, and
// would give their numbers again: readers that have passed those would miss what comes. So the
// numbering jumps by more events than can be lost, once for each run of a server, before anything
// is written there.
// KEYS: run, events. ARGV: the run id of this server.
inline constexpr char kNewRunScript[] = R"lua(
local before = redis.call('GET', KEYS[1])
if before == ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
if not before then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[2], 'empty', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[2], 'empty')
end
local stream = redis.call('XINFO', 'STREAM', KEYS[2])
for i = 1, #stream, 2 do
  if stream[i] == 'last-generated-id' then
    local last = string.sub(stream[i + 1], 3)
    redis.call('XSETID', KEYS[2], '0-' .. string.format('%.0f', last + 1048576))
  end
end
return 1
)lua";

}  // namespace swage

-- A node says that it is there, and learns who else is. KEYS: the state, the nodes, the index of windows. ARGV: the
-- node, whether it has told all that it let in by itself (1 or 0), the time as it knows it ('' where it does not), the
-- number of nodes in the settings, after how long a silent node is not here and is forgotten, a name for what is
-- remembered from here on where nothing is, how many nodes that are away keep their share, these, and the nodes that it
-- remembers. Answers {now, all, here, whether the state was lost, names, the name of what is remembered}.
local SKEW = 3000000
local function of_type(key, type)
  local found = redis.call('TYPE', key).ok
  if found ~= type and found ~= 'none' then heal(key) end
end
local state, mine, real = agreed(), tonumber(ARGV[3]), wall()
local is_new = not state
local shift
if is_new then
  shift = mine and mine - real or 0
elseif mine and math.abs(real + state.shift - state.last) > SKEW then
  shift = mine - real
else
  shift = state.shift
end
local now = real + shift
of_type(KEYS[2], 'hash')
of_type(KEYS[3], 'zset')
local kept = tonumber(ARGV[8])
for i = 9, 8 + kept do
  local said = redis.call('HGET', KEYS[2], ARGV[i])
  local seen = whole(said and string.match(said, '^(%d+):[01]$'))
  if not seen or now - seen > tonumber(ARGV[5]) or now - seen < -SKEW then
    redis.call('HSET', KEYS[2], ARGV[i], text(now) .. ':0')
  end
end
if is_new then
  for i = 9 + kept, #ARGV do redis.call('HSETNX', KEYS[2], ARGV[i], text(now) .. ':0') end
end
redis.call('HSET', KEYS[2], ARGV[1], text(now) .. ':' .. ARGV[2])
local all, here, names = 0, 0, {}
local nodes = redis.call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  local seen, settled = string.match(nodes[i + 1], '^(%d+):([01])$')
  seen = whole(seen)
  local silent = seen and now - seen
  -- A node writes its own time, again and again. What says a time to come would stay for ever, and is none.
  local is_one = silent and silent >= -SKEW and silent <= tonumber(ARGV[6])
    and #nodes[i] <= 128 and string.match(nodes[i], '^[%w._-]+$')
  if not is_one then
    redis.call('HDEL', KEYS[2], nodes[i])
  else
    all = all + 1
    names[all] = nodes[i]
    if settled == '1' and silent < tonumber(ARGV[5]) then here = here + 1 end
  end
end
all = math.max(all, tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'shift', text(shift), 'last', text(now), 'all', all, 'here', here)
local era = redis.call('HGET', KEYS[1], 'era')
if is_new or not era or #era > 200 then
  era = ARGV[7]
  redis.call('HSET', KEYS[1], 'era', era)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now / 1000000))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 86400000) end
-- The others have something to say as well.
if is_new then redis.call('PUBLISH', string.sub(KEYS[1], 1, -6) .. 'feed', '!') end
return { now, all, here, is_new and 1 or 0, table.concat(names, ' '), era }

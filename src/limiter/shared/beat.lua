-- A node says that it is there, and learns who else is. KEYS: the state, the nodes, the index of windows. ARGV: the
-- node, whether it has told all that it let in by itself (1 or 0), the time as it knows it ('' where it does not), the
-- number of nodes in the settings, after how long a silent node is not here and is forgotten, and the nodes that it
-- remembers. Answers {now, all, here, whether the state was lost, names}.
local state = redis.call('HMGET', KEYS[1], 'shift', 'last')
local is_new = not state[1]
local mine = tonumber(ARGV[3])
local time = redis.call('TIME')
local real = time[1] * 1000000 + time[2]
local shift = tonumber(state[1])
if is_new then
  shift = mine and mine - real or 0
elseif mine and math.abs(real + shift - state[2]) > 3000000 then
  shift = mine - real
end
local now = real + shift
if is_new then
  for i = 7, #ARGV do redis.call('HSETNX', KEYS[2], ARGV[i], text(now) .. ':0') end
end
redis.call('HSET', KEYS[2], ARGV[1], text(now) .. ':' .. ARGV[2])
local all, here, names = 0, 0, {}
local nodes = redis.call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  local seen, settled = string.match(nodes[i + 1], '^(%d+):(%d)$')
  local silent = now - (tonumber(seen) or 0)
  if silent > tonumber(ARGV[6]) then
    redis.call('HDEL', KEYS[2], nodes[i])
  else
    all = all + 1
    names[all] = nodes[i]
    if settled == '1' and silent < tonumber(ARGV[5]) then here = here + 1 end
  end
end
all = math.max(all, tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'shift', text(shift), 'last', text(now), 'all', all, 'here', here)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now / 1000000))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 86400000) end
-- The others have something to say as well.
if is_new then redis.call('PUBLISH', string.sub(KEYS[1], 1, -6) .. 'feed', '!') end
return { now, all, here, is_new and 1 or 0, table.concat(names, ' ') }

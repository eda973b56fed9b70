-- What every script begins with. A window is a hash: `at` the number of its running part, `running` and `past` the
-- calls of that and of the sixty before it, `oldest` the first part with a call, `version` which grows with every
-- change, and one field for each past part. A month is the same with one part alone.
local function text(number) return string.format('%.0f', number) end

-- The nodes' common time in microseconds: that of this server, put right where it was seen to jump.
local function clock(state)
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2] + state[1]
end

local function expire(b)
  redis.call('PEXPIRE', b.key, b.ttl)
  if b.sub > 0 then redis.call('ZADD', b.index, text(b.now / 1000000 + b.ttl / 1000), b.name) end
end

local function keep(b)
  redis.call('HSET', b.key, 'at', text(b.at), 'past', text(b.past), 'running', text(b.running),
    'oldest', text(b.oldest), 'version', text(b.version))
end

-- The running part becomes past, and what has left the window is taken off.
local function go_on_to(b, number)
  if b.sub == 0 then
    redis.call('DEL', b.key)
    b.at, b.past, b.running, b.oldest = number, 0, 0, number
    return
  end
  if b.running > 0 then redis.call('HSET', b.key, text(b.at), text(b.running)) end
  local fields, past, oldest = redis.call('HGETALL', b.key), 0, number
  for i = 1, #fields, 2 do
    local part = tonumber(fields[i])
    if part and part < number - 60 then
      redis.call('HDEL', b.key, fields[i])
    elseif part then
      past = past + fields[i + 1]
      if part < oldest then oldest = part end
    end
  end
  b.at, b.past, b.running, b.oldest = number, past, 0, oldest
  keep(b)
  expire(b)
end

-- `from`: where in ARGV the length of a part (0: a month), the number of the month and the time to live stand.
local function look(key, from, now)
  local sub, number = tonumber(ARGV[from]), tonumber(ARGV[from + 1])
  if sub > 0 then number = math.floor(now / sub) end
  local prefix = string.sub(KEYS[1], 1, -6)
  local h = redis.call('HMGET', key, 'at', 'past', 'running', 'oldest', 'version')
  local b = { key = key, now = now, sub = sub, ttl = ARGV[from + 2], index = prefix .. 'active',
    name = string.sub(key, #prefix + 1), at = tonumber(h[1]) or number, past = tonumber(h[2]) or 0,
    running = tonumber(h[3]) or 0, oldest = tonumber(h[4]) or number, version = tonumber(h[5]) or 0 }
  if number > b.at then go_on_to(b, number) end
  return b
end

local function line(b, part, calls)
  return b.name .. ' ' .. text(part) .. ' ' .. text(calls) .. ' ' .. text(b.version)
end

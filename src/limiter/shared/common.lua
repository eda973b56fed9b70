-- What every script begins with. A window is a hash: `at` the number of its running part, `running` and `past` the
-- calls of that and of the sixty before it, `oldest` the first part with a call, `version` which grows with every
-- change, `born` when it was made, one field for each past part, and one for each node that corrected it (`t:` and
-- its name), which says its last correction. A month is the same with one part alone.
-- What cannot be (another type, a number below zero or beyond reason, a time to come) was written by somebody else. Such
-- a key is thrown away as if it had been lost, that one alone: the nodes know what it held, and tell it.
local MOST, TOLERANCE, DAY = 4503599627370496, 10000000, 86400000

local function text(number) return string.format('%.0f', number) end

-- A number that a count or a time can be, or nil.
local function whole(value)
  local number = tonumber(value)
  if number and number >= 0 and number <= MOST and number == math.floor(number) then return number end
end

local function wall()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Throws a key away that somebody else wrote, and notes its name for `doctor` and the logs of the nodes.
local function heal(key)
  redis.call('DEL', key)
  local prefix = string.sub(KEYS[1], 1, -6)
  local notes, name = prefix .. 'healed', string.sub(key, #prefix + 1)
  local known = redis.pcall('HLEN', notes)
  if type(known) ~= 'number' or known > 100 then redis.call('DEL', notes) end
  redis.call('HSET', notes, name, text(wall()))
  redis.call('PEXPIRE', notes, DAY)
  redis.call('PUBLISH', prefix .. 'feed', '?' .. name)
end

-- These fields of a hash. What is none is thrown away, and has none.
local function fields(key, ...)
  local read = redis.pcall('HMGET', key, ...)
  if not read.err then return read end
  if not string.find(read.err, 'WRONGTYPE', 1, true) then return redis.call('HMGET', key, ...) end
  heal(key)
  return {}
end

-- What the nodes agreed on, or nil where nobody keeps it.
local function agreed()
  local read = fields(KEYS[1], 'shift', 'last', 'all', 'here', 'kept')
  if not read[1] then return nil end
  local shift, last, all, here = tonumber(read[1]), whole(read[2]), whole(read[3]), whole(read[4])
  if not (shift and shift > -MOST and shift < MOST and last and all and here) then
    heal(KEYS[1])
    return nil
  end
  all = math.max(all, 1)
  return { shift = shift, last = last, all = all, here = math.min(here, all), kept = read[5] or '' }
end

-- The nodes' common time in microseconds: that of this server, put right where it was seen to jump.
local function clock(state) return wall() + state.shift end

local function expire(b)
  redis.call('PEXPIRE', b.key, b.ttl)
  local until_s = text(b.now / 1000000 + b.ttl / 1000)
  local added = redis.pcall('ZADD', b.index, until_s, b.name)
  if type(added) == 'number' then return end
  if string.find(added.err, 'WRONGTYPE', 1, true) then heal(b.index) end
  redis.call('ZADD', b.index, until_s, b.name)
end

local function keep(b)
  redis.call('HSET', b.key, 'at', text(b.at), 'past', text(b.past), 'running', text(b.running),
    'oldest', text(b.oldest), 'version', text(b.version), 'born', text(b.born))
end

-- Of one that stands there as it was read, only what a count changes.
local function keep_count(b)
  if b.is_fresh or b.running == b.granted then return keep(b) end
  redis.call('HSET', b.key, 'running', text(b.running), 'version', text(b.version))
end

local function fresh(b, number)
  b.at, b.past, b.running, b.oldest, b.version, b.born = number, 0, 0, number, 0, math.floor(b.now)
  b.is_fresh = true
end

-- The running part becomes past, and what has left the window is taken off.
local function go_on_to(b, number)
  local left = b.at
  if b.sub == 0 then
    redis.call('DEL', b.key)
    b.at, b.past, b.running, b.oldest, b.is_fresh = number, 0, 0, number, true
    return
  end
  if b.running > 0 then redis.call('HSET', b.key, text(b.at), text(b.running)) end
  local all, past, oldest = redis.call('HGETALL', b.key), 0, number
  for i = 1, #all, 2 do
    local part = tonumber(all[i])
    if string.sub(all[i], 1, 2) == 't:' then
      local told_s = tonumber(string.match(all[i + 1], ' (%d+)$'))
      if not told_s or b.now / 1000000 - told_s > DAY / 1000 then redis.call('HDEL', b.key, all[i]) end
    elseif part and (part < number - 60 or part >= number) then
      redis.call('HDEL', b.key, all[i])
    elseif part then
      local calls = whole(all[i + 1])
      -- No past part is newer than the one that ran.
      if not calls or part > left then
        heal(b.key)
        return fresh(b, number)
      end
      past = past + calls
      if part < oldest then oldest = part end
    end
  end
  b.at, b.past, b.running, b.oldest = number, past, 0, oldest
  keep(b)
  expire(b)
end

-- `from`: where in ARGV the length of a part (0: a month), the number of the month and the time to live stand. The
-- caller has seen this `version`, and then or before a call in part `newest`: the running part is no older.
local function look(key, from, now, version, newest)
  local sub, number = tonumber(ARGV[from]), tonumber(ARGV[from + 1])
  -- Beyond this no part can be: nodes' clocks differ by less, and so does a time that was put right.
  local latest = math.max(number, math.floor(now / 1000) + DAY)
  if sub > 0 then
    number = math.floor(now / sub)
    latest = math.floor((now + TOLERANCE) / sub)
  end
  local prefix = string.sub(KEYS[1], 1, -6)
  local read = fields(key, 'at', 'past', 'running', 'oldest', 'version', 'born')
  local b = { key = key, now = now, sub = sub, ttl = ARGV[from + 2], index = prefix .. 'active',
    name = string.sub(key, #prefix + 1), at = whole(read[1]), past = whole(read[2]), running = whole(read[3]),
    oldest = whole(read[4]), version = whole(read[5]), born = whole(read[6]) or 0 }
  if not (b.at and b.past and b.running and b.oldest and b.version and b.at <= latest) then
    if read[1] or read[2] or read[3] or read[4] or read[5] then heal(key) end
    fresh(b, number)
  end
  local is_behind = b.version >= version and b.at < newest and newest <= number
  -- It would have expired before it is so old.
  if is_behind or (sub > 0 and b.at < number - 70) then
    heal(key)
    fresh(b, number)
  end
  if sub > 0 then b.oldest = math.max(math.min(b.oldest, b.at), b.at - 60) end
  if number > b.at then go_on_to(b, number) end
  return b
end

local function line(b, part, calls)
  return b.name .. ' ' .. text(part) .. ' ' .. text(calls) .. ' ' .. text(b.version)
end

-- Calls of which a node has not said that it heard the answer, of one of its links: the number of each, and what was
-- counted for it; `-` where the node gave it up before it came here, and it must not be counted any more.
local function note_asked(key, number, said, is_new)
  local done = redis.pcall('HSET', key, number, said)
  if type(done) ~= 'number' then
    if string.find(done.err, 'WRONGTYPE', 1, true) then heal(key) end
    redis.call('HSET', key, number, said)
  end
  if is_new then redis.call('PEXPIRE', key, 3600000) end
end

-- The line for the feed, or nil where nothing was changed: what was lost since nobody can take off.
local function uncount(name, part, calls, born)
  local key = string.sub(KEYS[1], 1, -6) .. name
  local read = fields(key, 'at', 'past', 'running', 'version', 'born', text(part))
  local at, past, running, version = whole(read[1]), whole(read[2]), whole(read[3]), whole(read[4])
  if not (at and past and running and version) or (whole(read[5]) or 0) ~= born then return nil end
  local left = math.max(0, running - calls)
  if part == at then
    redis.call('HSET', key, 'running', text(left))
  else
    local have = whole(read[6])
    if not have then return nil end
    left = math.max(0, have - calls)
    redis.call('HSET', key, text(part), text(left), 'past', text(math.max(0, past - have + left)))
  end
  redis.call('HSET', key, 'version', text(version + 1))
  return line({ name = name, version = version + 1 }, part, left)
end

-- A call that nobody waits for any more, of the link `asked`: if it was counted it is not, and if it comes yet it will
-- not be.
local function take_back(asked, number, until_us, now)
  local key, lines = string.sub(KEYS[1], 1, -6) .. asked, {}
  local said = redis.pcall('HGET', key, number)
  if type(said) ~= 'string' then
    if now <= until_us then note_asked(key, number, '-', true) end
    return
  end
  if said == '-' then return end
  for name, part, calls, born in string.gmatch(said, '(%S+) (%d+) (%d+) (%d+)') do
    lines[#lines + 1] = uncount(name, tonumber(part), tonumber(calls), tonumber(born))
  end
  redis.call('HDEL', key, number)
  if #lines > 0 then redis.call('PUBLISH', string.sub(KEYS[1], 1, -6) .. 'feed', table.concat(lines, '\n')) end
end

-- A node says that it is there, and learns who else is. KEYS: the state, the nodes, the index of windows. ARGV: the
-- node, whether it has told all that it let in by itself (1 or 0), the time as it knows it ('' where it does not), the
-- number of nodes in the settings, after how long a silent node is not here and is forgotten, a name for what is
-- remembered from here on where nothing is, the link over which it says so, how many nodes that are away keep their
-- share, four values for each of these (its name, its plea or '-', by how many it shares, and 1 where it has its share
-- already), and the nodes that it remembers.
-- A node says `time:settled:link`. One whose plea was heard is shut out until it says on two beats of a newer link that it
-- is back, and its share is kept until then: `time:0:link:of:plea:absent:least`, by how many it shares, and how many
-- were shut out before it, by how many at least. Behind it `time:settled:link:=plea` says from which one it is back, for
-- those who have not read that yet. Answers {now, all, here, whether the state was lost, names, the name of
-- what is remembered, `plea=of=absent=least` of each that is shut out}.
local SKEW = 3000000
local function of_type(key, type)
  local found = redis.call('TYPE', key).ok
  if found ~= type and found ~= 'none' then heal(key) end
end
local function read(said)
  local seen, settled, rest = string.match(said or '', '^(%d+):([01])(.*)$')
  local link, fence = string.match(rest or '', '^:([%w.]*)(.*)$')
  local e = { seen = whole(seen), settled = settled, link = link or '' }
  local of, plea, absent, least = string.match(fence or '', '^:(%d+):([%w.]+):(%d+):(%d+)$')
  if whole(of) and e.seen then e.of, e.plea, e.absent, e.least = whole(of), plea, absent, least end
  e.past = string.match(fence or '', '^:=([%w.]+)$')
  return e.seen and e
end
local function write(name, e)
  local said = text(e.seen) .. ':' .. e.settled .. ':' .. e.link
  if e.plea then said = said .. ':' .. text(e.of) .. ':' .. e.plea .. ':' .. e.absent .. ':' .. e.least end
  if e.past and not e.plea then said = said .. ':=' .. e.past end
  redis.call('HSET', KEYS[2], name, said)
end
-- Whether this link is of the same process as that one, and made after it.
local function is_after(link, other)
  local process, number = string.match(link, '^(%w+)%.(%d+)$')
  local same, before = string.match(other, '^(%w+)%.(%d+)$')
  if not process or process ~= same then return false, false end
  return tonumber(number) > tonumber(before), true
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
local link, kept = ARGV[8], tonumber(ARGV[9])
local rest = 10 + kept * 4
local absent, least = 0, MOST
for _, said in ipairs(redis.call('HVALS', KEYS[2])) do
  local e = read(said)
  if e and e.plea then absent, least = absent + 1, math.min(least, e.of) end
end
-- What was promised and is not known here any more was promised before.
for i = 10, rest - 1, 4 do
  local e = read(redis.call('HGET', KEYS[2], ARGV[i]))
  if ARGV[i + 3] == '1' and not (e and (e.plea or e.past == ARGV[i + 1])) then
    absent, least = absent + 1, math.min(least, tonumber(ARGV[i + 2]))
  end
end
for i = 10, rest - 1, 4 do
  local name, plea, of = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local e = read(redis.call('HGET', KEYS[2], name))
  if plea ~= '-' then
    if e and e.plea == plea then
      e.seen = now
      write(name, e)
    elseif not (e and (e.past == plea or e.settled == '1' and is_after(e.link, plea))) then
      -- It says so from here on: what it had said before on its way here does not count.
      local others = absent - (e and e.plea and 1 or 0)
      local coming = e and is_after(e.link, plea) and e.link or ''
      write(name, { seen = now, settled = '0', link = coming, of = of, plea = plea, absent = text(others),
        least = text(least) })
    end
  elseif e and e.plea then
    e.seen = now
    write(name, e)
  elseif not (e and now - e.seen <= tonumber(ARGV[5]) and now - e.seen >= -SKEW) then
    write(name, { seen = now, settled = '0', link = '' })
  end
end
if is_new then
  for i = rest, #ARGV do redis.call('HSETNX', KEYS[2], ARGV[i], text(now) .. ':0:') end
end
local own = read(redis.call('HGET', KEYS[2], ARGV[1])) or { link = '' }
own.seen, own.settled = now, ARGV[2]
if own.plea then
  local is_newer, is_same = is_after(link, own.plea)
  if is_same and not is_newer then
    own.settled = '0'
  elseif own.settled == '1' and own.link == link then
    own.past, own.plea = own.plea, nil
  else
    own.settled, own.link = '0', link
  end
else
  own.link = link
end
write(ARGV[1], own)
local all, here, names, fenced = 0, 0, {}, {}
local nodes = redis.call('HGETALL', KEYS[2])
for i = 1, #nodes, 2 do
  local e = read(nodes[i + 1])
  local silent = e and now - e.seen
  -- A node writes its own time, again and again. What says a time to come would stay for ever, and is none.
  local is_one = silent and silent >= -SKEW and silent <= tonumber(ARGV[6])
    and #nodes[i] <= 128 and string.match(nodes[i], '^[%w._-]+$')
  if not is_one then
    redis.call('HDEL', KEYS[2], nodes[i])
  else
    all = all + 1
    names[all] = nodes[i]
    if e.settled == '1' and silent < tonumber(ARGV[5]) then here = here + 1 end
    if e.plea then fenced[#fenced + 1] = nodes[i] end
  end
end
all = math.max(all, tonumber(ARGV[4]))
local shares, words = {}, {}
for i, name in ipairs(fenced) do
  local e = read(redis.call('HGET', KEYS[2], name))
  shares[i] = text(e.of)
  words[i] = e.plea .. '=' .. text(e.of) .. '=' .. e.absent .. '=' .. e.least
end
redis.call('HSET', KEYS[1], 'shift', text(shift), 'last', text(now), 'all', all, 'here', here, 'kept',
  table.concat(shares, ' '))
local era = redis.call('HGET', KEYS[1], 'era')
if is_new or not era or #era > 200 then
  era = ARGV[7]
  redis.call('HSET', KEYS[1], 'era', era)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now / 1000000))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 86400000) end
-- The others have something to say as well.
if is_new then redis.call('PUBLISH', string.sub(KEYS[1], 1, -6) .. 'feed', '!') end
return { now, all, here, is_new and 1 or 0, table.concat(names, ' '), era, table.concat(words, ' ') }

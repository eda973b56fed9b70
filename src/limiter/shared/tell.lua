-- Corrects one window. KEYS: the state, the window. ARGV: until when the node waits, length of a part, month, time to
-- live, version that the node has seen, `add` (calls that were let in without asking, less those of a lease that was
-- not used) or `most` (what the node knows of each part; the larger number holds); of `add` whose calls they are, by
-- node and process, which of its corrections this is, and when it was first sent if nobody heard an answer to that (0);
-- then pairs of part and calls.
local state = agreed()
if not state then return { 1, 0, 0 } end
local now = clock(state)
if now > tonumber(ARGV[1]) then return { 3, now, 0 } end
local b = look(KEYS[2], 2, now, 0, 0)
local adds, mark, process, turn = ARGV[6] == 'add', 't:' .. ARGV[7], ARGV[8], tonumber(ARGV[9])
local can_take_off = true
if adds then
  local said = redis.call('HGET', b.key, mark) or ''
  local known, last = string.match(said, '^(%S+) (%d+) %d+$')
  -- It was done, and the answer was lost.
  if known == process and tonumber(last) >= turn then return { 0, now, 0 } end
  -- What was lost comes first.
  if tonumber(ARGV[5]) > b.version then return { 4, now, 0 } end
  -- A window that was lost since it was first sent may have been told anew without those calls.
  local first_us = tonumber(ARGV[10])
  can_take_off = first_us == 0 or (b.born + 1000000 < first_us and now - first_us < DAY * 1000)
end
local function merged(have, told)
  if not adds then return math.max(have, told) end
  if told < 0 and not can_take_off then return have end
  return math.max(0, have + told)
end
b.version = math.max(b.version, tonumber(ARGV[5])) + 1
local lines = {}
for i = 11, #ARGV, 2 do
  local part, told = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if part >= b.at then
    if b.sub > 0 or part == b.at then b.running = merged(b.running, told) end
    lines[#lines + 1] = line(b, b.at, b.running)
  elseif b.sub > 0 and part >= b.at - 60 then
    local have = whole(redis.call('HGET', b.key, text(part))) or 0
    local now_calls = merged(have, told)
    redis.call('HSET', b.key, text(part), text(now_calls))
    b.past = b.past + now_calls - have
    if part < b.oldest then b.oldest = part end
    lines[#lines + 1] = line(b, part, now_calls)
  end
end
keep(b)
if adds then redis.call('HSET', b.key, mark, process .. ' ' .. text(turn) .. ' ' .. text(math.floor(now / 1000000))) end
expire(b)
if #lines > 0 then redis.call('PUBLISH', string.sub(KEYS[1], 1, -6) .. 'feed', table.concat(lines, '\n')) end
return { 0, now, 0 }

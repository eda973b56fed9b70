-- Counts one call in every window that it must pass, or in none. KEYS: the state, then the windows. ARGV: until when
-- anybody waits for the answer, the name of the link and the call's number on it (0: only look), then eight values for
-- each window: length of a part, month, time to live, quota, calls wanted (0: only look), version that the caller has
-- seen, the newest part in which it knows of a call, and which node owns the quota while nobody answers here, where it
-- is too small to be shared; then how many answers on this link were heard, their numbers, and what the caller asked
-- before with no answer: link, number, until when.
-- Answers {what, now, window, then used, oldest, at, running, version, granted of each}: what is 0 counted, 1 nobody
-- keeps the state, 2 the time has jumped, 3 too late, 4 the caller knows more of a window, 5 a window is full.
local state = agreed()
if not state then return { 1, 0, 0 } end
local now = clock(state)
local gap = now - state.last
if gap > 3000000 or gap < -3000000 then return { 2, 0, 0 } end
if now > tonumber(ARGV[1]) then return { 3, now, 0 } end
local all, here, prefix = state.all, state.here, string.sub(KEYS[1], 1, -6)
local own, number, rest = prefix .. ARGV[2], ARGV[3], 4 + (#KEYS - 1) * 8
local heard = tonumber(ARGV[rest])
for i = rest + heard + 1, #ARGV, 3 do take_back(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), now) end
-- It was given up already.
if number ~= '0' and redis.pcall('HGET', own, number) == '-' then return { 3, now, 0 } end
local function is_here(node, time)
  local said = redis.pcall('HGET', prefix .. 'nodes', node)
  local seen, settled = string.match(type(said) == 'string' and said or '', '^(%d+):([01])')
  return settled == '1' and time - tonumber(seen) < 1500000
end
-- What nodes that are away may be spending by themselves stays theirs: as much as each was promised, where it was.
local function kept_of(quota, owner)
  if here == all then return 0 end
  local kept, others, is_small = 0, all - here, quota < all
  for of in string.gmatch(state.kept, '%d+') do
    kept, others = kept + math.floor(quota / math.max(tonumber(of), 1)), others - 1
    -- Somebody came or left since: it may take another one for the owner.
    if quota < tonumber(of) and tonumber(of) ~= all then return quota end
    is_small = is_small or quota < tonumber(of)
  end
  if is_small and not is_here(owner, now) then return quota end
  return kept + math.max(others, 0) * math.floor(quota / all)
end
local found, wants = {}, false
for i = 2, #KEYS do
  local from = 4 + (i - 2) * 8
  local b = look(KEYS[i], from, now, tonumber(ARGV[from + 5]), tonumber(ARGV[from + 6]))
  if tonumber(ARGV[from + 5]) > b.version then return { 4, now, i - 2 } end
  local quota, want = tonumber(ARGV[from + 3]), tonumber(ARGV[from + 4])
  local room = quota - b.past - b.running - kept_of(quota, ARGV[from + 7])
  b.granted = math.min(want, room)
  if want > 0 and b.granted < 1 then
    return { 5, now, i - 2, b.past + b.running, b.oldest, b.at, b.running, b.version, 0 }
  end
  if want > 0 then wants = true end
  found[#found + 1] = b
end
local answer, lines, counted = { 0, now, 0 }, {}, {}
for _, b in ipairs(found) do
  if wants then
    local is_first = b.running == 0
    if is_first and b.past == 0 then b.oldest = b.at end
    b.running, b.version = b.running + b.granted, b.version + 1
    keep_count(b)
    if is_first then expire(b) end
    lines[#lines + 1] = line(b, b.at, b.running)
    counted[#counted + 1] = b.name .. ' ' .. text(b.at) .. ' ' .. text(b.granted) .. ' ' .. text(b.born)
  end
  for _, value in ipairs({ b.past + b.running, b.oldest, b.at, b.running, b.version, b.granted }) do
    answer[#answer + 1] = value
  end
end
if wants and all > 1 then redis.call('PUBLISH', prefix .. 'feed', table.concat(lines, '\n')) end
-- Now and then is soon enough for what lasts an hour.
if wants then note_asked(own, number, table.concat(counted, ' '), heard > 0 or tonumber(number) < 16) end
-- Last: a server whose memory is full refuses no write behind one that it took, and it takes this one.
if heard > 0 then redis.pcall('HDEL', own, unpack(ARGV, rest + 1, rest + heard)) end
return answer

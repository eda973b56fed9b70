-- Takes back what was counted for calls that nobody waits for any more. KEYS: the state. ARGV: the link, the number and
-- until when it could be counted, of each.
local state = agreed()
if not state then return { 1, 0, 0 } end
local now = clock(state)
for i = 1, #ARGV, 3 do take_back(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), now) end
return { 0, now, 0 }

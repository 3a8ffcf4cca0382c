-- include: base place
-- What this queue knows of a batch.
--
-- ARGV  batch
-- Returns its members of this queue in each state (r, s, w, p, c, f, x); and where this is its home also total, time of
--         dispatch, end (empty: it has none), completed, failed.

local found = {}
for number, state in ipairs({'r', 's', 'w', 'p', 'c', 'f', 'x'}) do
  found[number] = place.count('m\n' .. ARGV[4] .. '\n' .. state .. '\n')
end
local text = call('HGET', DATA, 'b\n' .. ARGV[4])
if text then
  local batch = cmsgpack.unpack(text)
  found[8], found[9], found[10] = batch.total, digits(batch.created, 1), batch.ended and digits(batch.ended, 1) or ''
  found[11], found[12] = batch.completed, batch.failed
end
return found

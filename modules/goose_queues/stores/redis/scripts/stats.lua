-- include: base place
-- Counts of a queue.
--
-- Returns whether there has been anything, ready, due by now although scheduled, scheduled, waiting, processing, completed, failed, cancelled, whether it is
--         paused, and the earliest due time of what is due (empty: nothing is).

local now = 's\n' .. digits(NOW, 16) .. '\n\255'
local late = call('ZLEXCOUNT', INDEX, '[s\n', '(' .. now)
local oldest = nil
local first_late = late > 0 and tonumber(string.sub(place.range('s\n', nil, 1)[1], 3, 18))
if first_late then oldest = first_late end
-- The first of each name and priority: due times are in order inside one only.
local first = '[r\n'
while true do
  local member = call('ZRANGEBYLEX', INDEX, first, '(r\n\255', 'LIMIT', 0, 1)[1]
  local line, due = string.match(member or '', '^(r\n.*\n%d%d%d%d%d)(%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d)')
  if not line then break end
  due = tonumber(due)
  if not oldest or due < oldest then oldest = due end
  first = '(' .. line .. '\255'
end
return {
  call('HGET', DATA, '') == 'used' and 1 or 0,
  place.count('r\n'), late, place.count('s\n'), place.count('w\n'), place.count('p\n'), place.count('c\n'), place.count('f\n'),
  place.count('x\n'), call('HEXISTS', DATA, 'paused\n'), oldest and digits(oldest, 1) or '',
}

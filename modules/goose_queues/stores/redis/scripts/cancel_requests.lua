-- include: base place job
-- Returns id, token and reason of each running job that somebody wants to end.

local found = {}
for _, member in ipairs(place.range('k\n', nil, PIECE)) do
  local id = string.sub(member, 3)
  local run = job.unpack(call('HGET', DATA, id .. '\n'))
  if run.state == 'p' and run.token then
    found[#found + 1], found[#found + 2], found[#found + 3] = id, run.token, run.note or ''
  end
end
return found

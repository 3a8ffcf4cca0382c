-- include: base place job mail group hearing
-- Deletes pending jobs that were there when the purge began.
--
-- ARGV  most jobs to look at, when it began (empty: now), the member of the index after which to go on (empty: from the first)
-- Returns how many were deleted, when it began, the last member that was looked at (empty: there are no more), whether
--         this queue has something to claim, what to send.

local most, began = tonumber(ARGV[4]), tonumber(ARGV[5]) or NOW
local looked, deleted, last = 0, 0, ARGV[6]
-- Links that wait go first, so that the end of one does not have to cancel them.
for _, state in ipairs({'w', 's', 'r'}) do
  local prefix = state .. '\n'
  local is_here = last == '' or string.sub(last, 1, 2) == prefix
  if is_here and looked < most then
    local members = place.range(prefix, last ~= '' and ('(' .. last) or nil, most - looked)
    looked = looked + #members
    last = ''
    for _, member in ipairs(members) do
      local _, _, id = place.read_ready(member)
      if state == 's' then _, _, id = place.read_scheduled(member) end
      if state == 'w' then id = string.sub(member, 3) end
      local it = id and job.load(id)
      if not it then
        call('ZREM', INDEX, member)
      else
        job.know(it)
        -- A callback of that very moment may be what the first chunk has brought about.
        if it.created < began or (it.created == began and not it.is_callback) then
          deleted = deleted + 1
          job.delete(it)
          it.state = 'x'
          group.tell_end(it, true)
        end
      end
    end
    if looked >= most then
      last = members[#members] or ''
    end
  end
end
local sent = group.finish()
return {deleted, digits(began, 1), looked >= most and last or '', woken, sent}

-- include: base place job mail group hearing
-- At the home of their groups: lets old jobs of another queue be deleted, unless something of theirs is left to run.
--
-- ARGV  the queue, how long ago they have to have finished in microseconds; then four fields for each: id,
--       chain, batch, and whether it is a member of that
-- Returns how many those are, what to send.

found_queue()
local ids, before = {}, NOW - tonumber(ARGV[5])
for at = 6, #ARGV, 4 do
  local id = ARGV[at]
  local chain, batch = ARGV[at + 1] ~= '' and ARGV[at + 1] or nil, ARGV[at + 2] ~= '' and ARGV[at + 2] or nil
  if group.is_free(chain, batch, before) then
    ids[#ids + 1] = id
    group.forget(id, chain, ARGV[at + 3] == '1' and batch or nil)
  end
end
if #ids > 0 then mail.send(ARGV[4], {kind = 'forget', ids = ids, before = digits(before, 1)}) end
return {#ids, group.finish()}

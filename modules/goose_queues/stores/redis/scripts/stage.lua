-- include: base place job mail group
-- Keeps a piece of a large dispatch, of which nothing is seen until `commit.lua` has all of it.
--
-- ARGV  1 if this has been tried before, which makes no difference here; dispatch, number of the piece, queue of its jobs,
--       the message that will store them there, without its beginning; links and members of the groups in it, as JSON
-- Returns 'exists' where a job of this queue is there already, else 'kept'.

found_queue()
local name = 't\n' .. ARGV[5] .. '\n' .. digits(tonumber(ARGV[6]), 6)
local groups = cjson.decode(ARGV[9])
for _, id in ipairs(groups.ids) do
  if call('HEXISTS', DATA, id) == 1 then return 'exists' end
end
call('HSETNX', DATA, 't\n' .. ARGV[5], digits(NOW, 1))
if call('ZADD', INDEX, 0, name) == 1 then
  call('HSET', DATA, name, ARGV[7] .. ' ' .. ARGV[8], name .. '\n', ARGV[9])
  -- Without their batches and jobs they mean nothing yet.
  group.add(groups.links, groups.members, {})
  group.finish()
end
return 'kept'

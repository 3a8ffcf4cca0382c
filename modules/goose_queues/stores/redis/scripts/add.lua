-- include: base place fresh
-- Stores jobs of this queue that belong to no group, all of them or nothing: what `insert.lua` does, without what that
-- makes ready for groups and other queues, which takes longer than to store a job.
--
-- ARGV  1 if this has been tried before; seven fields for each job (`job.add`)
-- Returns 'exists' where a job is there already, else nothing to send.

found_queue(true)
for at = 5, #ARGV, 7 do
  if call('HEXISTS', DATA, ARGV[at]) == 1 then
    -- The first job of a dispatch that has come through although its answer was lost.
    return ARGV[4] == '1' and at == 5 and {} or 'exists'
  end
end
job.add(ARGV, NOW, 5)
wake()
return {}

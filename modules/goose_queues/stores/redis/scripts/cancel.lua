-- include: base place job mail group hearing
-- Ends a job that is pending; asks the worker of a running one.
--
-- ARGV  id, reason
-- Returns false where there is no such job, 'asked', 'cancelled', or the state that cannot be cancelled; whether
--         this queue has something to claim; what to send.

local it = job.load(ARGV[4])
if not it then return {false, 0, {}} end
if it.state == 'p' then
  it.run.asked, it.run.note = 1, ARGV[5]
  job.save(it)
  call('ZADD', INDEX, 0, 'k\n' .. it.id)
  call('PUBLISH', string.gsub(INDEX, ':index$', ':ends'), CALLER)
  return {'asked', 0, {}}
end
if it.state == 'c' or it.state == 'f' then return {it.state, 0, {}} end
if it.state ~= 'x' then
  job.lift(it)
  it.run.note = ARGV[5]
  job.finish(it, 'x', NOW)
  group.tell_end(it)
end
local sent = group.finish()
return {'cancelled', woken, sent}

-- include: base place job mail group hearing
-- At the home of its groups: a job of another queue that has failed or was cancelled is to run again.
--
-- ARGV  id, queue, state, chain, position, batch; empty where there is none
-- Returns 'first', id and state of the link that has to be retried before it; 'not' where it is not over; or 'done' and what
--         to send.

found_queue()
local chain, batch = ARGV[7] ~= '' and ARGV[7] or nil, ARGV[9] ~= '' and ARGV[9] or nil
local first = group.retry(ARGV[4], ARGV[5], ARGV[6], chain, tonumber(ARGV[8]), batch)
if first == false then return {'not'} end
if first then return {'first', first[1], first[2]} end
return {'done', group.finish()}

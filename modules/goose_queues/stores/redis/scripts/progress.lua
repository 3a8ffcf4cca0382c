-- include: base place job
-- Keeps what a running attempt tells of itself.
--
-- ARGV  id, token, progress as JSON
-- Returns 1, or 0 where its lease is lost.

local id = ARGV[4]
local run = job.unpack(call('HGET', DATA, id .. '\n'))
if run.state ~= 'p' or run.token ~= ARGV[5] then return 0 end
run.progress = ARGV[6]
call('HSET', DATA, id .. '\n', cmsgpack.pack(run))
return 1

-- include: base place job
-- Renews leases.
--
-- ARGV  lease in microseconds; then three fields for each: id, token, flags (b: no death if the worker dies, l: its slot
--       counts in the fleet, so that a lapsed lease may be somebody else's by now)
-- Returns the ids whose lease was lost.

local lease, lost = NOW + tonumber(ARGV[4]), {}
for at = 5, #ARGV, 3 do
  local id, token, flags = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local run = job.unpack(call('HGET', DATA, id .. '\n'))
  local lapsed = string.find(flags, 'l', 1, true) and (run.lease or 0) <= NOW
  if run.state ~= 'p' or run.token ~= token or lapsed then
    lost[#lost + 1] = id
  else
    call('ZREM', INDEX, place.leased(run.lease, id))
    run.lease, run.blameless = lease, string.find(flags, 'b', 1, true) and 1 or nil
    call('ZADD', INDEX, 0, place.leased(lease, id))
    call('HSET', DATA, id .. '\n', cmsgpack.pack(run))
  end
end
return lost

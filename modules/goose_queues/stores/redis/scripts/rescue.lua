-- include: base place job mail group hearing
-- Gives jobs back whose lease has ended, the longest dead first; and tells of messages that wait since a crash.
--
-- ARGV  most jobs, deaths after which a job has failed for good, that error as text before and behind their number
-- Returns how many were given back, failed, cancelled; whether this queue has something to claim; the queues that messages
--         wait for; what to send.

local most, max_deaths = tonumber(ARGV[4]), tonumber(ARGV[5])
local returned, failed, cancelled, came_back = 0, 0, 0, false

for _, member in ipairs(call('ZRANGEBYLEX', INDEX, '[p\n', '(p\n' .. digits(NOW, 16) .. '\n\255', 'LIMIT', 0, most)) do
  local lease, id = string.match(member, '^p\n(%d+)\n(.*)$')
  local it = id and job.load(id)
  if not it or (not it.run.corrupt and (it.state ~= 'p' or digits(it.run.lease or 0, 16) ~= lease)) then
    -- A place without a lease: only a hand can have made this.
    call('ZREM', INDEX, member)
  elseif it.run.corrupt then
    call('ZREM', INDEX, member)
    job.know(it)
    call('ZADD', INDEX, 0, place.ready(it.rank, it.due, it.id))
    returned, came_back = returned + 1, true
  else
    local run = it.run
    job.lift(it)
    local died = math.min(run.deaths or 0, 2 * max_deaths) + (run.blameless and 0 or 1)
    local over = run.doomed and died >= 2 * max_deaths
    local newly = not run.doomed and not run.blameless and not run.asked and died >= max_deaths
    if run.blameless and not run.doomed then run.attempts = run.attempts - 1 end
    run.deaths = died
    if newly then
      run.doomed, run.error = 1, ARGV[6] .. died .. ARGV[7]
    end
    if run.asked or over then
      job.finish(it, run.asked and 'x' or 'f', NOW)
      group.tell_end(it)
      if run.asked then cancelled = cancelled + 1 else failed = failed + 1 end
    else
      run.token, run.lease, run.blameless = nil, nil, nil
      job.put(it, 'r')
      came_back = true
      if newly then failed = failed + 1 else returned = returned + 1 end
    end
  end
end
if came_back then wake() end

-- Pieces of dispatches that nobody will come back for.
for _, name in ipairs(place.range('t\n', nil, most)) do
  local dispatch = string.match(name, '^t\n([^\n]*)')
  local began = tonumber(call('HGET', DATA, 't\n' .. dispatch) or 0)
  if began < NOW - 3600 * 1000000 then
    local groups = cjson.decode(call('HGET', DATA, name .. '\n') or '{"links":[],"members":[]}')
    for _, it in ipairs(groups.links) do group.forget(it[3], it[1], nil) end
    for _, it in ipairs(groups.members) do call('ZREM', INDEX, 'u\n' .. it[1] .. '\n' .. it[2]) end
    call('HDEL', DATA, name, name .. '\n', 't\n' .. dispatch)
    call('ZREM', INDEX, name)
  end
end

local waiting = mail.targets()
local sent = group.finish()
return {returned, failed, cancelled, woken, waiting, sent}

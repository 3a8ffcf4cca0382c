-- include: base place job mail group hearing
-- Writes outcomes, each fenced by the token of its claim, and all that follows from them.
--
-- ARGV  eight fields for each: id, token, state (c, f, x; a: again), when (`job.add`;
--       empty: it stays due since when it was), flags (f: count a failure, r: refund the attempt, d: doomed, t: tried before), error, result,
--       note; empty where there is none
-- Returns the ids whose lease was lost, whether this queue has something to claim, what to send.

local lost, came_back = {}, false

local function finish(it, state, error, result, note)
  it.run.error = error or it.run.error
  it.run.result, it.run.note = result, note
  job.finish(it, state, NOW)
  group.tell_end(it)
end

for at = 4, #ARGV, 8 do
  local id, token, state, when, flags = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local error = ARGV[at + 5] ~= '' and ARGV[at + 5] or nil
  local result = ARGV[at + 6] ~= '' and ARGV[at + 6] or nil
  local note = ARGV[at + 7] ~= '' and ARGV[at + 7] or nil
  local it = job.load(id)
  local run = it and it.run
  if not it or it.state ~= 'p' or run.token ~= token then
    -- The answer to the first try was lost on its way, and it has come through.
    if not (it and run.settled == token and string.find(flags, 't', 1, true)) then lost[#lost + 1] = id end
  else
    job.lift(it)
    run.settled = token
    local counts = not run.doomed
    if counts and string.find(flags, 'f', 1, true) then run.failures = (run.failures or 0) + 1 end
    if state ~= 'a' then
      finish(it, state, error, result, note)
    elseif run.asked then
      finish(it, 'x', error, nil, run.note)
    else
      if counts and string.find(flags, 'r', 1, true) then run.attempts = run.attempts - 1 end
      if string.find(flags, 'd', 1, true) then run.doomed = 1 end
      run.error, run.note = error or run.error, note or run.note
      run.token, run.lease, run.blameless = nil, nil, nil
      local due, sign = it.due, string.sub(when, 1, 1)
      if sign == '+' then due = NOW + tonumber(string.sub(when, 2)) end
      if sign == '@' then due = tonumber(string.sub(when, 2)) end
      -- What stays due since when it was is ready, whatever the clock says: it has been before.
      it.due = due
      job.put(it, (when == '' or due <= NOW) and 'r' or 's')
      came_back = true
    end
  end
end
if came_back then wake() end
local sent = group.finish()
return {lost, woken, sent}

-- What a queue does when it is told something, by itself or by another: a function for each kind of message.

-- Who is told to go on and is over already says so: its home did not know.
local function answer(id)
  local it = job.load(id)
  if it and job.is_over(it) then group.tell_end(it) end
  return it
end

local hears = mail.hears

-- Ends of jobs, told to the home of their groups.
function hears.ended(message)
  group.ended(message.ends)
end

function hears.insert(message)
  local jobs, fresh = message.jobs, {}
  for at = 1, #jobs, 7 do
    -- A hand may have given it the id of another.
    if call('HEXISTS', DATA, jobs[at]) == 0 then
      for offset = 0, 6 do fresh[#fresh + 1] = jobs[at + offset] end
    end
  end
  job.add(fresh, tonumber(message.at))
  wake()
end

-- Links whose turn has come.
function hears.release(message)
  for _, id in ipairs(message.ids) do
    local it = answer(id)
    if it and it.state == 'w' then
      job.lift(it)
      job.put_back(it, tonumber(message.at))
    end
  end
  wake()
end

-- Links that wait for nothing any more.
function hears.cancel(message)
  for _, id in ipairs(message.ids) do
    local it = job.load(id)
    if it and it.state == 'w' then
      job.lift(it)
      it.run.note, it.run.broken_at = message.note, message.broken_at
      job.finish(it, 'x', tonumber(message.at))
    end
  end
end

-- Links that were cancelled by what is to run again now.
function hears.revive(message)
  for _, id in ipairs(message.ids) do
    local it = job.load(id)
    if it and it.state == 'x' and it.run.broken_at == message.broken_at then
      job.lift(it)
      it.run.note, it.run.broken_at, it.run.ended = nil, nil, nil
      job.put(it, 'w')
    else
      answer(id)
    end
  end
end

-- A job whose groups have made room for it again.
function hears.restart(message)
  local it = job.load(message.id)
  if it and (it.state == 'f' or it.state == 'x') then
    job.restart(it, message.state, tonumber(message.at))
    wake()
  end
end

-- Jobs that finished before that time, of groups that are over.
function hears.forget(message)
  for _, id in ipairs(message.ids) do
    local it = job.load(id)
    if it and job.is_over(it) and it.run.ended < tonumber(message.before) then job.delete(it) end
  end
end

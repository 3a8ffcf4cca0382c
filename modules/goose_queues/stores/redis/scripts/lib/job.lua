-- include: fresh
-- A job, in two fields of the data. What was dispatched never changes:
--
--   <id>    state, due time (-: that of dispatch), time of dispatch, batch of which it is a member, home of its chain or
--           batch, and a list of the other facts as JSON, on one line; then the payload
--   <id>\n  what has become of it since, as MessagePack: only once there is something
--
-- Letters of the states: r ready, s scheduled, w waiting, p processing, c completed, f failed, x cancelled.

-- What is reckoned with, and so has to be a number, whatever a hand has written there.
local NUMBERS = {'due', 'attempts', 'failures', 'deaths', 'lease', 'began', 'ended', 'broken_at'}

-- What has become of a job: state, due, attempts, failures, deaths, token, worker, lease, began, blameless, doomed, asked
-- (to end), note, error, result, progress, ended, broken_at.
function job.unpack(text)
  if not text then return {} end
  local ok, run = pcall(cmsgpack.unpack, text)
  if not ok or type(run) ~= 'table' then return {corrupt = true} end
  for _, name in ipairs(NUMBERS) do
    local value = run[name]
    if value and (type(value) ~= 'number' or value ~= value or math.abs(value) > 1e16) then
      run[name], run.corrupt = nil, true
    end
  end
  return run
end

-- The batch of which a job is a member, by what was dispatched, without reading all of that.
function job.batch_of(body)
  local batch = string.match(body, '^%l [%d-]+ %d+ ([^ ]+) ')
  return batch ~= '-' and batch or nil
end

-- A job of its two fields; `corrupt` names what of it makes no sense.
function job.read(id, body, text)
  local run = job.unpack(text)
  local it = {id = id, body = body, run = run}
  local state, due, created, batch, home, facts =
    string.match(body, '^(%l) ([%d-]+) (%d+) ([^ \n]+) ([^ \n]+) ([^\n]*)\n')
  if not state then
    it.corrupt, state, due, created, facts = 'body', 'r', 0, 0, '[]'
  end
  it.state = run.state or state
  it.due = run.due or tonumber(due) or tonumber(created)
  it.created = tonumber(created)
  it.batch = batch ~= '-' and batch or nil
  it.home = home ~= '-' and home or nil
  it.facts = facts
  return it
end

function job.load(id)
  local found = call('HMGET', DATA, id, id .. '\n')
  return found[1] and job.read(id, found[1], found[2]) or nil
end

-- Reads the list of facts once: name, priority, chain, position, and whether it is a batch's callback.
function job.know(it)
  if it.name then return end
  local ok, facts = pcall(cjson.decode, it.facts)
  if not ok or type(facts) ~= 'table' or type(facts[1]) ~= 'string' or type(facts[2]) ~= 'number' then
    it.corrupt, facts = it.corrupt or 'body', {'', 0}
  end
  it.name, it.priority = facts[1], facts[2]
  it.chain = type(facts[6]) == 'string' and facts[6] or nil
  it.position = type(facts[7]) == 'number' and facts[7] or nil
  it.is_callback = type(facts[9]) == 'string' and facts[9] ~= 'member'
  it.callback_of = it.is_callback and type(facts[8]) == 'string' and facts[8] or nil
  it.rank = place.rank(it.name, it.priority)
end

function job.save(it)
  call('HSET', DATA, it.id .. '\n', cmsgpack.pack(it.run))
end

-- Takes a job out of the index, wherever it stands.
function job.lift(it)
  local run = it.run
  if it.state == 'p' then
    call('ZREM', INDEX, place.leased(run.lease or 0, it.id), 'k\n' .. it.id)
  elseif it.state == 'w' then
    call('ZREM', INDEX, place.waiting(it.id))
  elseif it.state == 'r' or it.state == 's' then
    job.know(it)
    -- A claim makes many ready at once, without writing to each that it has.
    call('ZREM', INDEX, place.ready(it.rank, it.due, it.id), place.scheduled(it.rank, it.due, it.id))
    if it.batch then
      call('ZREM', INDEX, place.member(it.batch, 'r', it.id), place.member(it.batch, 's', it.id))
    end
    return
  else
    call('ZREM', INDEX, place.finished(it.state, run.ended or 0, it.id))
  end
  if it.batch then
    call('ZREM', INDEX, place.member(it.batch, it.state, it.id))
  end
end

-- Puts it into the index where its new state belongs, and saves it.
function job.put(it, state)
  local run, member = it.run, nil
  it.state, run.state = state, state
  if state == 'r' or state == 's' then
    job.know(it)
    run.due = it.due
    member = state == 'r' and place.ready(it.rank, it.due, it.id) or place.scheduled(it.rank, it.due, it.id)
  elseif state == 'w' then
    member = place.waiting(it.id)
  elseif state == 'p' then
    member = place.leased(run.lease, it.id)
  else
    member = place.finished(state, run.ended, it.id)
  end
  call('ZADD', INDEX, 0, member)
  if it.batch then
    call('ZADD', INDEX, 0, place.member(it.batch, state, it.id))
  end
  job.save(it)
end

-- Ready, or scheduled where its time has yet to come.
function job.put_back(it, due)
  it.due = due
  job.put(it, due <= NOW and 'r' or 's')
end

function job.finish(it, state, at)
  local run = it.run
  run.ended, run.lease, run.token, run.blameless = at, nil, nil, nil
  job.put(it, state)
end

-- A job that is over has its whole budget again; attempts go on counting, so that no two runs have the same number.
function job.restart(it, state, at)
  local run = it.run
  job.lift(it)
  run.failures, run.deaths, run.doomed, run.asked = nil, nil, nil, nil
  run.ended, run.note, run.broken_at = nil, nil, nil
  it.due, run.due = at, at
  job.put(it, state)
end

function job.delete(it)
  job.lift(it)
  call('HDEL', DATA, it.id, it.id .. '\n')
end

-- Adds what a worker gets of a job that it has claimed: id, name, body, attempts, failures, deaths, error where it has
-- failed for good, what of it is corrupt.
function job.hand_out(answer, id, name, body, run, corrupt)
  local at = #answer
  answer[at + 1], answer[at + 2], answer[at + 3], answer[at + 4] = id, name, body, run.attempts or 0
  answer[at + 5], answer[at + 6] = run.failures or 0, run.deaths or 0
  answer[at + 7], answer[at + 8] = run.doomed and (run.error or '') or false, corrupt
end

function job.is_over(it)
  return it.state == 'c' or it.state == 'f' or it.state == 'x'
end

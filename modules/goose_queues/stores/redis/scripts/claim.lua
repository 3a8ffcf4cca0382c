-- include: base place job
-- Takes due jobs under new leases: higher priority, earlier due time, smaller id first.
--
-- ARGV  most jobs, lease in microseconds, token, worker, jobs that start at once (empty: all), limit of the fleet (empty:
--       none), deaths after which a job is taken alone, most jobs made ready; then the names that the worker knows
-- Returns microseconds until the next one is due (false: none), then the fields of each job (`job.hand_out`).

local most, lease, token, worker = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local slots, fleet, lonely, promoted = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local known = {}
for number = 12, #ARGV do known[ARGV[number]] = true end

found_queue()
if call('HEXISTS', DATA, 'paused\n') == 1 then
  call('HSET', DATA, 'hungry\n', '0')
  return {false}
end

-- What has come due meanwhile.
local now = 's\n' .. digits(NOW, 16)
local due = call('ZRANGEBYLEX', INDEX, '[s\n', '(' .. now .. '\255', 'LIMIT', 0, promoted)
if #due > 0 then
  local ready, members = {}, {}
  for _, member in ipairs(due) do
    local rank, at, id = place.read_scheduled(member)
    if id then
      ready[#ready + 1], ready[#ready + 2] = 0, place.ready(rank, at, id)
      local batch = job.batch_of(call('HGET', DATA, id) or '')
      if batch then
        call('ZREM', INDEX, place.member(batch, 's', id))
        members[#members + 1], members[#members + 2] = 0, place.member(batch, 'r', id)
      end
    end
  end
  call_with_all('ZREM', INDEX, due)
  call_with_all('ZADD', INDEX, ready)
  call_with_all('ZADD', INDEX, members)
end

if fleet then
  local live = call('ZLEXCOUNT', INDEX, '[p\n' .. digits(NOW + 1, 16), '(p\n\255')
  most = math.min(most, fleet - live)
end

-- The ready jobs of each name that this worker knows, in pieces. Names that it does not know cost one look each.
local lines = {}
if most > 0 then
  local names, strays = place.ready_names()
  -- Only a hand can have written these.
  call_with_all('ZREM', INDEX, strays)
  for _, name in ipairs(names) do
    if known[name] then lines[#lines + 1] = {prefix = 'r\n' .. name .. '\n', name = name, at = 1, members = {}} end
  end
end
local piece = math.max(math.ceil(most / math.max(#lines, 1)), 8)

local function front(line)
  if line.at > #line.members and not line.is_over then
    local from = line.members[#line.members]
    line.members = place.range(line.prefix, from and ('(' .. from) or nil, piece)
    line.at = 1
    line.is_over = #line.members < piece
  end
  return line.members[line.at]
end

local function next_line()
  local best, urgent = nil, nil
  for _, line in ipairs(lines) do
    local member = front(line)
    if member then
      local urgency = string.sub(member, #line.prefix + 1)
      if not urgent or urgency < urgent then best, urgent = line, urgency end
    end
  end
  return best
end

local chosen, ids = {}, {}
local only = lines[1]
while #chosen < most do
  local line = #lines == 1 and front(only) and only or next_line()
  if not line then break end
  local member = line.members[line.at]
  line.at = line.at + 1
  local id = string.sub(member, #line.prefix + 22)
  chosen[#chosen + 1] = {member = member, id = id, name = line.name, due = tonumber(string.sub(member, #line.prefix + 6, #line.prefix + 21))}
  ids[#ids + 1] = id
end

local bodies = values_of(ids)
for number, id in ipairs(ids) do ids[number] = id .. '\n' end
local runs = values_of(ids)

local taken, left, index, data = 0, {}, {}, {}
local answer = {false}
for number, it in ipairs(chosen) do
  local body, text = bodies[number], runs[number]
  local run = job.unpack(text or nil)
  local deaths = run.deaths or 0
  if not body or not it.due or it.id == '' then
    -- Nothing is left of it but its place, or that is none.
    left[#left + 1] = it.member
  elseif deaths >= lonely and taken > 0 then
    break
  else
    local batch = job.batch_of(body)
    taken = taken + 1
    if not run.doomed then run.attempts = (run.attempts or 0) + 1 end
    local corrupt = run.corrupt and 'run' or ''
    run.corrupt = nil
    run.state, run.due, run.token, run.worker, run.lease, run.began = 'p', it.due, token, worker, NOW + lease, NOW
    run.blameless = slots and taken > math.max(slots, 0) and 1 or nil
    left[#left + 1] = it.member
    index[#index + 1], index[#index + 2] = 0, place.leased(run.lease, it.id)
    if batch then
      left[#left + 1] = place.member(batch, 'r', it.id)
      index[#index + 1], index[#index + 2] = 0, place.member(batch, 'p', it.id)
    end
    data[#data + 1], data[#data + 2] = it.id .. '\n', cmsgpack.pack(run)
    job.hand_out(answer, it.id, it.name, body, run, corrupt)
    if deaths >= lonely then break end
  end
end
call_with_all('ZREM', INDEX, left)
call_with_all('ZADD', INDEX, index)
call_with_all('HSET', DATA, data)

-- While workers find as much as they want, nobody has to tell them of more.
if taken < tonumber(ARGV[4]) then
  call('HSET', DATA, 'hungry\n', '0')
else
  call('HDEL', DATA, 'hungry\n')
end
local next_one = place.range('s\n', nil, 1)[1]
if next_one then
  local _, at = place.read_scheduled(next_one)
  answer[1] = digits(math.max((at or NOW) - NOW, 0), 1)
end
return answer

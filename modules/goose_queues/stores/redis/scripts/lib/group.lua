-- What follows from the end of a job in a chain or batch: the next link, the end of a broken chain, the callbacks.
--
-- All of a group is decided at its home, which is one queue, in one script. What this means for jobs of other queues goes
-- there as messages, and their ends come back as such.
--
--   h\n<chain>              how many links are not over, and how many there are
--   l\n<chain>\n<id>        a link: position, queue, state (w waits, o begun, else how it ended), batch, broken_at; an empty
--                           batch is a link without a queue
--   b\n<batch>              a batch: id, total, created, ended, completed, failed, kept (members that are stored), chain,
--                           position
--   q\n<batch>\n<role>      a callback that has not been called: its queue, and the job as JSON
--   u\n<batch>\n<id>        in the index: a member that is not over
--   d\n<ended>\n<batch>     in the index: a batch that is over

local group = {told = {}, records = {}, changed = {}}

-- A record of the data, read once by a script and written once, by `finish`.
local function load(field)
  if group.records[field] == nil then
    local text = call('HGET', DATA, field)
    group.records[field] = text and cmsgpack.unpack(text) or false
  end
  return group.records[field] or nil
end

local function save(field, record)
  group.records[field], group.changed[field] = record or false, true
end

local function write_records()
  local written, gone = {}, {}
  for field in pairs(group.changed) do
    local record = group.records[field]
    if record then
      written[#written + 1], written[#written + 2] = field, cmsgpack.pack(record)
    else
      gone[#gone + 1] = field
    end
  end
  call_with_all('HSET', DATA, written)
  call_with_all('HDEL', DATA, gone)
  group.changed = {}
end

local function is_open(state)
  return state == 'w' or state == 'o'
end

-- Gathers ids by queue, to be told in one message each.
local function for_queue(lists, queue, id)
  lists[queue] = lists[queue] or {}
  table.insert(lists[queue], id)
end

local function tell(lists, kind, facts)
  for queue, ids in pairs(lists) do
    local message = {kind = kind, ids = ids}
    for name, value in pairs(facts) do message[name] = value end
    mail.send(queue, message)
  end
end

function group.batch(id)
  return load('b\n' .. id)
end

function group.save_batch(batch)
  save('b\n' .. batch.id, batch)
end

-- Keeps the state of a link, and counts those of its chain that are not over.
function group.mark(chain, id, link, state)
  local was, is = is_open(link.state) and 1 or 0, is_open(state) and 1 or 0
  link.state = state
  save('l\n' .. chain .. '\n' .. id, link)
  if was ~= is then
    local head = load('h\n' .. chain) or {open = 0, links = 0}
    head.open = head.open + is - was
    save('h\n' .. chain, head)
  end
end

-- Calls `look(id, link)` for the links from a position on, in order, until it returns true.
function group.each_link(chain, position, look)
  local prefix = 'l\n' .. chain .. '\n'
  local first = '[' .. prefix .. digits(position, 6)
  while true do
    local members = place.range(prefix, first, PIECE)
    for _, member in ipairs(members) do
      local id = string.sub(member, #prefix + 8)
      local link = load('l\n' .. chain .. '\n' .. id)
      if link and look(id, link) then return end
    end
    if #members < PIECE then return end
    first = '(' .. members[#members]
  end
end

-- All links before have completed: lets the next one begin. Batches without members are over at once, one by one.
function group.release(chain, position)
  local at, begun = nil, {}
  group.each_link(chain, position, function(id, link)
    if at and link.position ~= at then return true end
    if link.state ~= 'w' then return false end
    if link.queue then
      at = link.position
      group.mark(chain, id, link, 'o')
      for_queue(begun, link.queue, id)
    else
      group.mark(chain, id, link, 'c')
      group.over(group.batch(id))
    end
    return false
  end)
  tell(begun, 'release', {})
end

-- A link has not completed: cancels all that waits behind it.
function group.break_off(chain, position, what, state)
  local how = state == 'x' and 'was cancelled' or 'failed'
  local note = what .. ', before it in its chain, ' .. how
  local cancelled, batches = {}, {}
  group.each_link(chain, position + 1, function(id, link)
    if link.state ~= 'w' then return false end
    link.broken_at = position
    group.mark(chain, id, link, 'x')
    if not link.queue then
      local batch = group.batch(id)
      if batch then
        group.close(batch)
        group.call_back(batch, 'finally')
      end
      return false
    end
    for_queue(cancelled, link.queue, id)
    if link.batch then
      call('ZREM', INDEX, 'u\n' .. link.batch .. '\n' .. id)
      batches[link.batch] = true
    end
    return false
  end)
  tell(cancelled, 'cancel', {note = note, broken_at = position})
  local lost = {}
  for batch in pairs(batches) do lost[#lost + 1] = batch end
  table.sort(lost)
  for _, batch in ipairs(lost) do group.judge(batch, true, false) end
end

-- No member is left to run.
function group.close(batch)
  batch.ended = NOW
  call('ZADD', INDEX, 0, 'd\n' .. digits(NOW, 16) .. '\n' .. batch.id)
  group.save_batch(batch)
end

-- The same with its callbacks; whether all members have completed.
function group.over(batch)
  if not batch then return false end
  group.close(batch)
  local completed = batch.completed == batch.total
  if completed then group.call_back(batch, 'then') end
  group.call_back(batch, 'finally')
  return completed
end

-- Makes a stored callback a job, once: it goes in the script that makes it one.
function group.call_back(batch, role)
  local field = 'q\n' .. batch.id .. '\n' .. role
  local callback = call('HGET', DATA, field)
  if callback and call('HDEL', DATA, field) == 1 then
    callback = cjson.decode(callback)
    mail.send(callback.queue, {kind = 'insert', jobs = callback.job})
  end
end

-- Calls back what a batch has reached, now that members have ended.
function group.judge(id, broken, failed)
  local batch = group.batch(id)
  if not batch then return end
  if failed then group.call_back(batch, 'catch') end
  if batch.ended then return end
  local over = place.count('u\n' .. id .. '\n') == 0
  local completed = over and group.over(batch)
  if not batch.chain then return end
  if completed then
    group.release(batch.chain, batch.position + 1)
  elseif broken or over then
    group.break_off(batch.chain, batch.position, 'batch ' .. id, failed and 'f' or 'x')
  end
end

-- Acts on the ends of jobs: a list of {id, name, state, chain, position, batch, whether it is gone}, false for what is not.
function group.ended(ends)
  local batches, links = {}, {}
  for _, it in ipairs(ends) do
    local id, name, state, chain, position, batch_id = unpack(it, 1, 6)
    local batch = batch_id and group.batch(batch_id)
    local is_link = batch and batch.chain
    if batch and call('ZREM', INDEX, 'u\n' .. batch_id .. '\n' .. id) == 1 then
      if state == 'c' then batch.completed = batch.completed + 1 end
      if state == 'f' then batch.failed = batch.failed + 1 end
      group.save_batch(batch)
      local seen = batches[batch_id] or {}
      seen.failed = seen.failed or state == 'f'
      seen.broken = seen.broken or state ~= 'c'
      batches[batch_id] = seen
    end
    local link = chain and load('l\n' .. chain .. '\n' .. id)
    if link and is_open(link.state) then
      group.mark(chain, id, link, state)
      if not is_link then
        links[#links + 1] = {chain = chain, position = position, what = name .. ' ' .. id, state = state}
      end
    end
  end
  table.sort(links, function(one, other)
    if one.chain ~= other.chain then return one.chain < other.chain end
    return one.position < other.position
  end)
  for _, it in ipairs(links) do
    if it.state == 'c' then
      group.release(it.chain, it.position + 1)
    else
      group.break_off(it.chain, it.position, it.what, it.state)
    end
  end
  local touched = {}
  for id in pairs(batches) do touched[#touched + 1] = id end
  table.sort(touched)
  for _, id in ipairs(touched) do group.judge(id, batches[id].broken, batches[id].failed) end
  for _, it in ipairs(ends) do
    if it[7] then group.forget(it[1], it[4], it[6]) end
  end
end

-- A job of this queue has ended, and may be stored no more: tells the home of its groups. `finish` sends what has been told.
function group.tell_end(it, is_gone)
  if not it.home then return end
  job.know(it)
  local is_member = it.batch or false
  if not it.chain and not is_member then return end
  group.told[it.home] = group.told[it.home] or {}
  table.insert(group.told[it.home], {
    it.id, it.name, it.state, it.chain or false, it.position or false, is_member, is_gone or false,
  })
end

-- Does all that follows, here; what is to be done elsewhere is on its way. Returns what to send there.
function group.finish()
  repeat
    local told = group.told
    group.told = {}
    for home, ends in pairs(told) do
      for first = 1, #ends, PIECE do
        mail.send(home, {kind = 'ended', ends = {unpack(ends, first, math.min(first + PIECE - 1, #ends))}})
      end
    end
    mail.work()
  until not next(group.told) and #mail.todo == 0
  write_records()
  return mail.sent
end

-- Stores the links and batches of new groups: links {chain, position, id, queue, batch}, members {batch, id}, batches {id,
-- total, chain, position, callbacks}, false where there is none.
function group.add(links, members, batches)
  local index = {}
  local function link(chain, position, id, fields)
    index[#index + 1], index[#index + 2] = 0, 'l\n' .. chain .. '\n' .. digits(position, 6) .. '\n' .. id
    fields.position = position
    save('l\n' .. chain .. '\n' .. id, fields)
    local head = load('h\n' .. chain) or {open = 0, links = 0}
    head.open, head.links = head.open + 1, head.links + 1
    save('h\n' .. chain, head)
  end
  for _, it in ipairs(links) do
    local chain, position, id, queue, batch = unpack(it, 1, 5)
    link(chain, position, id, {queue = queue, state = position == 0 and 'o' or 'w', batch = batch or nil})
  end
  for _, it in ipairs(members) do
    index[#index + 1], index[#index + 2] = 0, 'u\n' .. it[1] .. '\n' .. it[2]
  end
  for _, it in ipairs(batches) do
    group.save_batch({
      id = it.id, total = it.total, created = NOW, completed = 0, failed = 0, kept = it.total,
      chain = it.chain or nil, position = it.position or nil,
    })
    for role, callback in pairs(it.callbacks) do
      call('HSET', DATA, 'q\n' .. it.id .. '\n' .. role, callback)
    end
    if it.total == 0 and it.chain then link(it.chain, it.position, it.id, {state = 'w'}) end
  end
  call_with_all('ZADD', INDEX, index)
  for _, it in ipairs(batches) do
    if it.total == 0 and not it.chain then
      group.over(group.batch(it.id))
    elseif it.total == 0 and it.position == 0 then
      group.release(it.chain, 0)
    end
  end
end

-- Lets a batch go on; what has been counted of its members stays counted.
local function reopen(batch)
  if batch.ended then
    call('ZREM', INDEX, 'd\n' .. digits(batch.ended, 16) .. '\n' .. batch.id)
    batch.ended = nil
  end
end

-- A job that has failed or was cancelled is to run again. Returns nil, or the id and state of the link before it that has
-- to be retried first, or false where it is not over.
function group.retry(id, queue, state, chain, position, batch_id)
  local link = chain and load('l\n' .. chain .. '\n' .. id)
  local again = 'o'
  if link then
    if is_open(link.state) then return false end
    local first, unfinished = nil, false
    group.each_link(chain, 0, function(other, before)
      if before.position >= position then return true end
      if is_open(before.state) then
        unfinished = true
      elseif before.state ~= 'c' and before.queue then
        first = {other, before.state}
        return true
      end
      return false
    end)
    if first then return first end
    if unfinished then again = 'w' end
    link.broken_at = nil
    group.mark(chain, id, link, again)
  end
  local batch = batch_id and group.batch(batch_id)
  if batch then
    if call('ZADD', INDEX, 0, 'u\n' .. batch_id .. '\n' .. id) == 1 and state == 'f' then
      batch.failed = math.max(batch.failed - 1, 0)
    end
    reopen(batch)
    group.save_batch(batch)
  end
  mail.send(queue, {kind = 'restart', id = id, state = again == 'w' and 'w' or 'r'})
  if link then
    local revived = {}
    group.each_link(chain, position + 1, function(other, behind)
      if behind.state ~= 'x' or behind.broken_at ~= position then return false end
      behind.broken_at = nil
      group.mark(chain, other, behind, 'w')
      local theirs = group.batch(behind.queue and behind.batch or other)
      if theirs then
        if behind.queue then call('ZADD', INDEX, 0, 'u\n' .. theirs.id .. '\n' .. other) end
        reopen(theirs)
        group.save_batch(theirs)
      end
      if behind.queue then for_queue(revived, behind.queue, other) end
      return false
    end)
    tell(revived, 'revive', {broken_at = position})
  end
  return nil
end

-- Whether nothing of its groups is left to run, and its batch ended before that time.
function group.is_free(chain, batch_id, before)
  local head = chain and load('h\n' .. chain)
  if head and head.open > 0 then return false end
  local batch = batch_id and group.batch(batch_id)
  return not batch or (batch.ended ~= nil and batch.ended < before)
end

-- A job of a group is stored no more.
function group.forget(id, chain, batch_id)
  local link = chain and load('l\n' .. chain .. '\n' .. id)
  if link then
    save('l\n' .. chain .. '\n' .. id, nil)
    call('ZREM', INDEX, 'l\n' .. chain .. '\n' .. digits(link.position, 6) .. '\n' .. id)
    local head = load('h\n' .. chain)
    head.links = head.links - 1
    save('h\n' .. chain, head.links > 0 and head or nil)
  end
  local batch = batch_id and group.batch(batch_id)
  if batch then
    batch.kept = batch.kept - 1
    group.save_batch(batch)
  end
end

-- New jobs, and the word to those who wait for them: as little as most dispatches need.

local job = {}

-- Stores new jobs; `fields` is a flat list, from `first` on: id, when, rank, batch, home, facts, payload for each. `when`
-- is empty for now, `+` and microseconds from now, `@` and a time, or `w` for a link that waits; now is when they were
-- dispatched.
function job.add(fields, now, first)
  local members, data = {}, {}
  for at = first or 1, #fields, 7 do
    local id, when, rank = fields[at], fields[at + 1], fields[at + 2]
    local sign, due, state = string.sub(when, 1, 1), now, 'r'
    if sign == '+' then
      due = now + tonumber(string.sub(when, 2))
    elseif sign == '@' then
      due = tonumber(string.sub(when, 2))
    end
    if sign == 'w' then
      state = 'w'
      members[#members + 1] = 0
      members[#members + 1] = place.waiting(id)
    else
      state = due <= NOW and 'r' or 's'
      members[#members + 1] = 0
      members[#members + 1] = state == 'r' and place.ready(rank, due, id) or place.scheduled(rank, due, id)
    end
    if fields[at + 3] ~= '-' then
      members[#members + 1] = 0
      members[#members + 1] = place.member(fields[at + 3], state, id)
    end
    data[#data + 1] = id
    data[#data + 1] = table.concat({
      state, due == now and '-' or digits(due, 1), digits(now, 1), fields[at + 3], fields[at + 4], fields[at + 5] .. '\n' .. fields[at + 6]
    }, ' ')
  end
  call_with_all('ZADD', INDEX, members)
  call_with_all('HSET', DATA, data)
end

-- Whether this queue has got something to claim by this script.
local woken = 0

-- Tells whoever has claimed from this queue in vain that there is something now. The message is who has brought it.
local function wake()
  woken = 1
  local told = call('HGET', DATA, 'hungry\n')
  if told and NOW - tonumber(told) > 1000 then
    call('HSET', DATA, 'hungry\n', digits(NOW, 1))
    call('PUBLISH', string.gsub(INDEX, ':index$', ':wake'), CALLER)
  end
end

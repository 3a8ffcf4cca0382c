-- Where a job stands: the members of the index, which is ordered by its text alone. Times are microseconds in 16 digits.

local place = {}

-- A job's name and urgency as the order has them: higher priorities first.
function place.rank(name, priority)
  return name .. '\n' .. digits(32767 - priority, 5)
end

function place.ready(rank, due, id)
  return 'r\n' .. rank .. digits(due, 16) .. id
end

function place.scheduled(rank, due, id)
  return 's\n' .. digits(due, 16) .. '\n' .. id .. '\n' .. rank
end

function place.waiting(id)
  return 'w\n' .. id
end

function place.leased(lease, id)
  return 'p\n' .. digits(lease, 16) .. '\n' .. id
end

-- What finished last comes first.
function place.finished(state, at, id)
  return state .. '\n' .. digits(9999999999999999 - at, 16) .. '\n' .. id
end

function place.member(batch, state, id)
  return 'm\n' .. batch .. '\n' .. state .. '\n' .. id
end

-- The members that begin so: from `first`, which may be any text in that part of the index, at most `most` of them.
function place.range(prefix, first, most)
  return call('ZRANGEBYLEX', INDEX, first or ('[' .. prefix), '(' .. prefix .. '\255', 'LIMIT', 0, most)
end

function place.count(prefix)
  return call('ZLEXCOUNT', INDEX, '[' .. prefix, '(' .. prefix .. '\255')
end

-- The names of which something is ready, each found by one look, and the members that make no sense.
function place.ready_names()
  local names, strays, first = {}, {}, '[r\n'
  while true do
    local member = call('ZRANGEBYLEX', INDEX, first, '(r\n\255', 'LIMIT', 0, 1)[1]
    if not member then return names, strays end
    local name = string.match(member, '^r\n(.*)\n%d+[^\n]*$')
    if name then
      names[#names + 1] = name
      first = '(r\n' .. name .. '\n\255'
    else
      strays[#strays + 1] = member
      first = '(' .. member
    end
  end
end

-- Rank, due time and id of a member of the ready ones, or of the scheduled ones.
function place.read_ready(member)
  local rank, due, id = string.match(member, '^r\n(.*\n%d%d%d%d%d)(%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d)([^\n]+)$')
  return rank, due and tonumber(due), id
end

function place.read_scheduled(member)
  local due, id, rank = string.match(member, '^s\n(%d+)\n([^\n]+)\n(.*\n%d%d%d%d%d)$')
  return rank, due and tonumber(due), id
end

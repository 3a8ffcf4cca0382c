-- include: base place job
-- The next jobs of one state, in the order of the index.
--
-- ARGV  state, the key after which to go on (empty: from the first), most jobs, name (empty: any), batch (empty: any)
-- Returns the key from which to look further (empty: there are no more), then key and id for each job. Of one name among many
--         it may find fewer than there are: the key tells where to go on.

local state, after, most, name, batch = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]

local function is_named(id)
  if name == '' then return true end
  local it = job.load(id)
  if not it then return false end
  job.know(it)
  return it.name == name
end

local prefix = batch ~= '' and ('m\n' .. batch .. '\n' .. state .. '\n') or (state .. '\n')
if state ~= 'r' or batch ~= '' then
  local members = place.range(prefix, after ~= '' and ('(' .. prefix .. after) or nil, PIECE)
  local found = {''}
  for number, member in ipairs(members) do
    local key = string.sub(member, #prefix + 1)
    local id = key
    if batch == '' then
      if state == 's' then
        id = string.match(key, '^%d+\n([^\n]+)\n') or ''
      else
        id = string.match(key, '([^\n]+)$') or ''
      end
    end
    if is_named(id) then
      found[#found + 1], found[#found + 2] = key, id
    end
    if #found > 2 * most or (number == #members and #members == PIECE) then
      found[1] = number < #members and key or #members == PIECE and key or ''
      break
    end
  end
  return found
end

-- Ready jobs stand by their names; their key is what follows that.
local keys = {}
for _, theirs in ipairs(place.ready_names()) do
  if name == '' or name == theirs then
    local line = 'r\n' .. theirs .. '\n'
    for _, one in ipairs(place.range(line, after ~= '' and ('(' .. line .. after) or nil, most)) do
      keys[#keys + 1] = string.sub(one, #line + 1)
    end
  end
end
table.sort(keys)
local found = {''}
for number, key in ipairs(keys) do
  found[#found + 1], found[#found + 2] = key, string.sub(key, 22)
  if number == most then
    found[1] = key
    break
  end
end
return found

-- include: base place
-- The links of a chain of which this queue is the home.
--
-- ARGV  chain, the key after which to go on (empty: from the first), most links
-- Returns key, id and queue for each link that is a job.

local prefix = 'l\n' .. ARGV[4] .. '\n'
local found = {}
for _, member in ipairs(place.range(prefix, ARGV[5] ~= '' and ('(' .. prefix .. ARGV[5]) or nil, tonumber(ARGV[6]))) do
  local key = string.sub(member, #prefix + 1)
  local id = string.sub(key, 8)
  local text = call('HGET', DATA, 'l\n' .. ARGV[4] .. '\n' .. id)
  local link = text and cmsgpack.unpack(text)
  found[#found + 1], found[#found + 2], found[#found + 3] = key, id, link and link.queue or ''
end
return found

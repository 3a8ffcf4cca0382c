-- include: base place
-- Messages that wait for a queue, the first ones first; those up to a number are forgotten.
--
-- ARGV  that queue, the number up to which it has heard, most messages, most bytes
-- Returns number and text for each.

local prefix, heard = 'o\n' .. ARGV[4] .. '\n', tonumber(ARGV[5])
while heard > 0 do
  local old = call('ZRANGEBYLEX', INDEX, '[' .. prefix, '[' .. prefix .. digits(heard, 16), 'LIMIT', 0, PIECE)
  if #old > 0 then
    call('ZREM', INDEX, unpack(old))
    call('HDEL', DATA, unpack(old))
  end
  if #old < PIECE then break end
end
local found, size = {}, 0
for _, name in ipairs(place.range(prefix, nil, tonumber(ARGV[6]))) do
  local text = call('HGET', DATA, name)
  size = size + #text
  if size > tonumber(ARGV[7]) and #found > 0 then break end
  found[#found + 1], found[#found + 2] = string.sub(name, #prefix + 1), text
end
return found

-- include: base place job mail group hearing
-- Stores a large dispatch that has been kept in pieces: from here on it will be there, whatever dies.
--
-- ARGV  dispatch, its batches as JSON
-- Returns what to send.

found_queue(true)
local prefix = 't\n' .. ARGV[4] .. '\n'
local names = place.range(prefix, nil, 1000000)
-- None are left: it has come through before, and the answer was lost.
if #names == 0 then return {} end
for _, name in ipairs(names) do
  local target, text = string.match(call('HGET', DATA, name), '^(%S+) (.*)$')
  mail.post(target, '{"at":"' .. digits(NOW, 1) .. '",' .. text)
  call('HDEL', DATA, name, name .. '\n')
  call('ZREM', INDEX, name)
end
call('HDEL', DATA, 't\n' .. ARGV[4])
group.add({}, {}, cjson.decode(ARGV[5]))
group.finish()
return mail.targets()

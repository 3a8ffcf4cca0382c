-- include: base place job mail group hearing
-- Stores a large dispatch that has been kept in pieces: from here on it will be there, whatever dies.
--
-- ARGV  1 if this has been tried before, dispatch, number of its pieces, its batches as JSON
-- Returns 'lost' where some of them are not here any more, else what to send.

found_queue(true)
local tried, dispatch = ARGV[4] == '1', ARGV[5]
local prefix = 't\n' .. dispatch .. '\n'
local names = place.range(prefix, nil, 1000000)
-- None are left: it has come through before, and the answer was lost.
if #names == 0 and tried then return {} end
-- A server that has crashed meanwhile, or a replica in its place, may lack the last moments.
if #names ~= tonumber(ARGV[6]) then return 'lost' end
for _, name in ipairs(names) do
  local target, text = string.match(call('HGET', DATA, name), '^(%S+) (.*)$')
  mail.post(target, '{"at":"' .. digits(NOW, 1) .. '",' .. text)
  call('HDEL', DATA, name, name .. '\n')
  call('ZREM', INDEX, name)
end
call('HDEL', DATA, 't\n' .. dispatch)
group.add({}, {}, cjson.decode(ARGV[7]))
group.finish()
return mail.targets()

-- include: base place job mail group hearing
-- Acts on messages from another queue, in their order, each once.
--
-- ARGV  that queue, 1 if the first is the first that waits there; then number and text for each
-- Returns the number of the last that was heard, 0 where some before these have not been heard yet; whether this
--         queue has something to claim; what to send.

found_queue(true)
local source = ARGV[4]
local heard = tonumber(call('HGET', DATA, 'heard\n' .. source) or 0)
for at = 6, #ARGV, 2 do
  local number = tonumber(ARGV[at])
  local before, text = string.match(ARGV[at + 1], '^(%d+) (.*)$')
  if number > heard then
    if tonumber(before) > heard and not (at == 6 and ARGV[5] == '1') then
      heard = 0
      break
    end
    mail.todo[#mail.todo + 1] = cjson.decode(text)
    mail.work()
    heard = number
    call('HSET', DATA, 'heard\n' .. source, digits(heard, 1))
  end
end
local sent = group.finish()
return {digits(heard, 1), woken, sent}

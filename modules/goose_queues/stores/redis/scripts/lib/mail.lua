-- What one queue has to tell another: messages, each kept until the other has acted on it. What a queue has to tell itself
-- is done in the same script.
--
-- A message has a number above all before it to the same queue, and names the one before: the other acts on those only that
-- follow what it has heard, so that each is heard once, in order, whatever becomes of the processes in between.

local mail = {todo = {}, sent = {}}

-- Puts a message into the outbox, also one for this queue: then it is done in a script of its own.
function mail.post(target, text)
  local before = tonumber(call('HGET', DATA, 'sent\n' .. target) or 0)
  -- By the clock: a server that has lost its last moments must not use a number again.
  local number = math.max(before + 1, NOW)
  local name, letter = 'o\n' .. target .. '\n' .. digits(number, 16), digits(before, 1) .. ' ' .. text
  call('HSET', DATA, 'sent\n' .. target, digits(number, 1), name, letter)
  call('ZADD', INDEX, 0, name)
  return digits(number, 1), letter
end

-- The queues for which something waits in the outbox.
function mail.targets()
  local found, first = {}, '[o\n'
  while true do
    local member = call('ZRANGEBYLEX', INDEX, first, '(o\n\255', 'LIMIT', 0, 1)[1]
    local target = member and string.match(member, '^o\n([^\n]*)\n')
    if not target then return found end
    found[#found + 1] = target
    first = '(o\n' .. target .. '\n\255'
  end
end

-- What comes of a message counts from when it was sent, not from when it is heard: `at` tells.
function mail.send(target, message)
  message.at = digits(NOW, 1)
  if target == QUEUE then
    mail.todo[#mail.todo + 1] = message
    return
  end
  local number, letter = mail.post(target, cjson.encode(message))
  local sent = mail.sent
  sent[#sent + 1], sent[#sent + 2], sent[#sent + 3] = target, number, letter
end

-- Acts on one message; `mail.hears` has a function for each kind.
mail.hears = {}

function mail.work()
  local done = 0
  while done < #mail.todo do
    done = done + 1
    local message = mail.todo[done]
    mail.hears[message.kind](message)
  end
  mail.todo = {}
end

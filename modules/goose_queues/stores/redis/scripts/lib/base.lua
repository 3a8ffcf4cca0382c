-- What every script begins with: the two keys of its queue, who calls, and what time it is.
--
-- KEYS  index, data
-- ARGV  the queue, the clock's offset in microseconds, the calling process; then the script's own

local INDEX, DATA = KEYS[1], KEYS[2]
local QUEUE, CALLER = ARGV[1], ARGV[3]
local call = redis.call
local clock = call('TIME')
local NOW = tonumber(clock[1]) * 1000000 + tonumber(clock[2]) + tonumber(ARGV[2])
-- Lua's stack holds eight thousand values: what goes to one call is cut into pieces.
local PIECE = 2000

local function digits(number, width)
  return string.format('%0' .. width .. 'd', number)
end

-- Calls `command key ...` with all of the words, a piece at a time; the words of one piece stay together.
local function call_with_all(command, key, words)
  for first = 1, #words, PIECE do
    call(command, key, unpack(words, first, math.min(first + PIECE - 1, #words)))
  end
end

-- The values of these fields of the data, false where there is none.
local function values_of(fields)
  local found = {}
  for first = 1, #fields, PIECE do
    local last = math.min(first + PIECE - 1, #fields)
    for number, value in ipairs(call('HMGET', DATA, unpack(fields, first, last))) do
      found[first + number - 1] = value
    end
  end
  return found
end

-- Neither key ever vanishes: a script that met one half way through a migration of its slot would break off in the middle,
-- while one whose keys are apart before it begins is refused as a whole.
local function found_queue(is_used)
  if is_used then
    -- A write that changes nothing goes to the replicas and into the file all the same.
    if call('HGET', DATA, '') ~= 'used' then call('HSET', DATA, '', 'used') end
  else
    call('HSETNX', DATA, '', 'found')
  end
  call('ZADD', INDEX, 0, '')
end

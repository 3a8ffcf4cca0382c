-- include: base place job mail group hearing
-- Deletes batches that ended before a time and have no member left, with callbacks never called.
--
-- ARGV  how long ago that was in microseconds, most batches, the member of the index after which to go on (empty: from the oldest)
-- Returns how many were looked at, the last member that was looked at (empty: there are no more).

local most, last = tonumber(ARGV[5]), ARGV[6]
local members = call('ZRANGEBYLEX', INDEX, last ~= '' and ('(' .. last) or '[d\n', '(d\n' .. digits(NOW - tonumber(ARGV[4]), 16), 'LIMIT', 0, most)
for _, member in ipairs(members) do
  local id = string.match(member, '^d\n%d+\n(.+)$')
  local batch = id and group.batch(id)
  if not batch or batch.kept <= 0 then
    call('ZREM', INDEX, member)
    if id then
      call('HDEL', DATA, 'b\n' .. id, 'q\n' .. id .. '\nthen', 'q\n' .. id .. '\ncatch', 'q\n' .. id .. '\nfinally')
    end
    if batch and batch.chain then group.forget(id, batch.chain, nil) end
    end
end
group.finish()
return {#members, #members == most and members[most] or ''}

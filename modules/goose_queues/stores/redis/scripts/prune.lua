-- include: base place job mail group hearing
-- Deletes what finished before a time, the oldest first, unless something of its chain or batch is left to run.
--
-- ARGV  state, how long ago that was in microseconds, most jobs to look at, the member of the index after which to go on (empty: from the oldest)
-- Returns how many were looked at, how many were deleted, the last member that was looked at (empty: there are no more), and five fields for each job
--         whose home has to decide: home, id, chain, batch, and whether it is a member of that.

local state, before, most, last = ARGV[4], NOW - tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local oldest = last ~= '' and ('(' .. last) or ('(' .. state .. '\n\255')
local newest = '(' .. state .. '\n' .. digits(9999999999999999 - before, 16) .. '\n\255'
local members = call('ZREVRANGEBYLEX', INDEX, oldest, newest, 'LIMIT', 0, most)
local deleted, asked = 0, {}
for _, member in ipairs(members) do
  local id = string.match(member, '^%l\n%d+\n(.+)$')
  local it = id and job.load(id)
  if not it then
    call('ZREM', INDEX, member)
  elseif not it.home then
    job.delete(it)
    deleted = deleted + 1
  else
    job.know(it)
    local batch = it.batch or it.callback_of
    if it.home ~= QUEUE then
      local at = #asked
      asked[at + 1], asked[at + 2], asked[at + 3] = it.home, id, it.chain or ''
      asked[at + 4], asked[at + 5] = batch or '', it.batch and 1 or 0
    elseif group.is_free(it.chain, batch, before) then
      job.delete(it)
      group.forget(id, it.chain, it.batch)
      deleted = deleted + 1
    end
  end
end
group.finish()
return {#members, deleted, #members == most and members[most] or '', asked}

-- include: base place job
-- What was taken by a claim whose answer was lost.
--
-- ARGV  token of the claim
-- Returns as `claim.lua` does.

local answer, first = {false}, nil
repeat
  local members = place.range('p\n', first, PIECE)
  for _, member in ipairs(members) do
    local it = job.load(string.match(member, '([^\n]*)$'))
    if it and it.run.token == ARGV[4] then
      job.know(it)
      job.hand_out(answer, it.id, it.name, it.body, it.run, it.corrupt or '')
    end
  end
  first = members[1] and ('(' .. members[#members])
until #members < PIECE
return answer

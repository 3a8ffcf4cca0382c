-- include: base place job mail group hearing
-- Puts a failed or cancelled job back; one whose groups are at home elsewhere is only looked at.
--
-- ARGV  id
-- Returns false where there is no such job; 'not' where it is neither; 'elsewhere', home, state, chain, position and batch;
--         'first', id and state of the link that has to be retried before it; or 'done' and what to send.

local it = job.load(ARGV[4])
if not it then return {false} end
if it.state ~= 'f' and it.state ~= 'x' then return {'not'} end
job.know(it)
if not it.home or not (it.chain or it.batch) then
  job.restart(it, 'r', NOW)
  wake()
  return {'done', {}}
end
if it.home ~= QUEUE then
  return {'elsewhere', it.home, it.state, it.chain or '', it.position or 0, it.batch or ''}
end
local first = group.retry(it.id, QUEUE, it.state, it.chain, it.position, it.batch)
if first == false then return {'not'} end
if first then return {'first', first[1], first[2]} end
return {'done', group.finish()}

-- include: base place job
-- Jobs, whole; what is not there is left out.
--
-- ARGV  ids
-- Returns for each: id, body, state, due time, and a flat list of what has become of it since.

local found = {}
for number = 4, #ARGV do
  local it = job.load(ARGV[number])
  if it then
    local facts = {}
    for name, value in pairs(it.run) do
      facts[#facts + 1] = name
      facts[#facts + 1] = type(value) == 'number' and string.format('%.0f', value) or tostring(value)
    end
    found[#found + 1] = {it.id, it.body, it.state, digits(it.due, 1), facts}
  end
end
return found

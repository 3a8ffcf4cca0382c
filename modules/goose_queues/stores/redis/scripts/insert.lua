-- include: base place job mail group hearing
-- Stores jobs, and the groups they belong to: all of it or nothing. Those of other queues are on their way there.
--
-- ARGV  1 if this has been tried before, number of parcels; for each: queue, number of jobs, seven fields for each job
--       (`job.add`); groups as JSON, empty where there are none
-- Returns 'exists' where a job of this queue is there already, else what to send.

found_queue(true)
local tried, parcels, at = ARGV[4] == '1', {}, 6
for _ = 1, tonumber(ARGV[5]) do
  local parcel = {queue = ARGV[at], jobs = {}}
  local last = at + 1 + 7 * tonumber(ARGV[at + 1])
  for number = at + 2, last do parcel.jobs[number - at - 1] = ARGV[number] end
  parcels[#parcels + 1] = parcel
  at = last + 1
end

for _, parcel in ipairs(parcels) do
  if parcel.queue == QUEUE then
    for number = 1, #parcel.jobs, 7 do
      if call('HEXISTS', DATA, parcel.jobs[number]) == 1 then
        -- The first job of a dispatch that has come through although its answer was lost.
        return tried and number == 1 and {} or 'exists'
      end
    end
  end
end

local groups = ARGV[at] ~= '' and cjson.decode(ARGV[at]) or nil
if tried and groups and groups.batches[1] and group.batch(groups.batches[1].id) then return {} end

for _, parcel in ipairs(parcels) do
  local jobs = parcel.jobs
  if parcel.queue == QUEUE then
    job.add(jobs, NOW)
    wake()
  else
    -- Their time counts from now, not from when they come there.
    mail.send(parcel.queue, {kind = 'insert', jobs = jobs})
  end
end
if groups then group.add(groups.links, groups.members, groups.batches) end
return group.finish()

-- include: base
-- ARGV  id
-- Returns whether this queue has such a job.

return call('HEXISTS', DATA, ARGV[4])

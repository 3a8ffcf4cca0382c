-- include: base place job
-- Pauses a queue (ARGV: 1), or ends its pause (0).

found_queue()
if ARGV[4] == '1' then
  call('HSETNX', DATA, 'paused\n', digits(NOW, 1))
else
  call('HDEL', DATA, 'paused\n')
  wake()
end
return 1

-- The relay's sign of life: at clock_ms, the database's, this shard stood at n and all of it was carried.
--
-- Said only while the head is just there: a beat stands in the side stream after everything that it counts and before
-- whatever came later. Nothing is created: a shard whose cache is gone stays gone until it is built anew.
--
-- KEYS  1 head, 2 side stream        ARGV  1 n, 2 clock_ms, 3 entries that the side stream keeps, 4 epoch
-- Returns the head; -1: this shard's cache is not there at all.
local head = redis.call('HGET', KEYS[1], 'n')
if not head then
  return -1
end
if tonumber(head) == tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'clock_ms', ARGV[2])
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'n', ARGV[1], 'clock_ms', ARGV[2], 'epoch', ARGV[4])
end
return tonumber(head)

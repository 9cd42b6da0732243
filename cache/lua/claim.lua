-- A relay begins to carry this shard: says where it stands, and leaves its mark.
--
-- A Redis that came back older (a restored copy, a replica that was promoted) is brought forward by a relay that began
-- anew. A reader that finds two marks, before and after reading the cells, may have read some of them in the older state.
--
-- KEYS  1 head        ARGV  1 mark
-- Returns n; nil: this shard's cache is not there.
local n = redis.call('HGET', KEYS[1], 'n')
if n then
  redis.call('HSET', KEYS[1], 'mark', ARGV[1])
end
return n

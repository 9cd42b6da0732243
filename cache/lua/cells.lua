-- The values of many cell hashes in one reply: a reply each was measured to cost a client more than its content does.
--
-- KEYS  hashes of one shard. Returns an array of arrays of values, in the order of KEYS.
local all = {}
for i = 1, #KEYS do
  all[i] = redis.call('HVALS', KEYS[i])
end
return all

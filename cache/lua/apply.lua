-- Applies one batch of one shard: the cell hashes, the stream entry and the head, or nothing.
--
-- Fencing: a batch applies only if it begins right after the head. A repeated batch is a no-op, and a relay that was
-- thought dead cannot write over its successor's work. Numbers stay below 2^53 (Lua's are doubles).
--
-- KEYS  1 head, 2 log, 3 cells, 4 places, then the cell hash of each of the first `placed` states, then the cell hashes
--       named by the operations
-- ARGV  1 first n, 2 last n, 3 clock_ms, 4 s (states), 5 t (records), 6 trim the log below this n, 7 placed,
--       then operations: "S" key-index field value | "D" key-index field | "C" cell | "P" num cell
-- A state is 40 bytes, little-endian: num 8, …, slot 2 at its 33rd byte (geo/record.py STATE). Taking it apart here costs
-- less than naming its field and repeating its bytes in the call.
-- Returns the head after the call; -1: this shard's cache is not there at all.
local head = redis.call('HGET', KEYS[1], 'n')
if not head then
  return -1
end
head = tonumber(head)
local first, last = tonumber(ARGV[1]), tonumber(ARGV[2])
if last <= head or first ~= head + 1 then
  return head
end
local states, at = ARGV[4], 1
for k = 5, 4 + tonumber(ARGV[7]) do
  local num, slot = struct.unpack('<I8', states, at), struct.unpack('<I2', states, at + 32)
  redis.call('HSET', KEYS[k], string.format('%.0f.%d', num, slot), string.sub(states, at, at + 39))
  at = at + 40
end
local i = 8
while i <= #ARGV do
  local op = ARGV[i]
  if op == 'S' then
    redis.call('HSET', KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3])
    i = i + 4
  elseif op == 'D' then
    redis.call('HDEL', KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2])
    i = i + 3
  elseif op == 'C' then
    redis.call('SADD', KEYS[3], ARGV[i + 1])
    i = i + 2
  else
    redis.call('HSET', KEYS[4], ARGV[i + 1], ARGV[i + 2])
    i = i + 3
  end
end
redis.call('XADD', KEYS[2], ARGV[2] .. '-0', 'from', ARGV[1], 'at', ARGV[3], 's', ARGV[4], 't', ARGV[5])
if ARGV[6] ~= '0' then
  redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[6] .. '-0')
end
redis.call('HSET', KEYS[1], 'n', ARGV[2], 'clock_ms', ARGV[3])
return last

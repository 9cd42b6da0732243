-- Moves seen_ms of states that stand in a cell hash forward: confirmations that were written to the database.
-- Lossy by design: a field that is not there, or newer, is left alone.
--
-- KEYS  the cell hashes        ARGV  per confirmation: key-index field seen_ms(8 bytes, little-endian)
-- A state is 40 bytes: num 8, n 8, changed_ms 8, seen_ms 8, slot 2, status 1, pad 5 (geo/record.py STATE).
local function number(bytes)
  local value = 0
  for k = 8, 1, -1 do
    value = value * 256 + string.byte(bytes, k)
  end
  return value
end
local touched = 0
for i = 1, #ARGV, 3 do
  local key, field, seen = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  local state = redis.call('HGET', key, field)
  if state and #state == 40 and number(string.sub(state, 25, 32)) < number(seen) then
    redis.call('HSET', key, field, string.sub(state, 1, 24) .. seen .. string.sub(state, 33))
    touched = touched + 1
  end
end
return touched

-- For `import --full`: the party's stations that a complete feed no longer names. $1 party, $2 the keys that it names.
SELECT s.key, s.num, s.n, s.shard
FROM station AS s
WHERE s.party = $1::text AND NOT s.removed
  AND NOT EXISTS (SELECT FROM unnest($2::text[]) AS k (key) WHERE k.key = s.key)
ORDER BY s.key

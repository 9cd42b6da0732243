-- Which EVSE does each report mean? $1 the parties that the caller may write for, $2 uid_keys, $3 location ids, both
-- case-folded and parallel; a location id may be NULL.
-- For each report (ord, 0-based): its EVSEs of the caller's parties (own), at most two: two mean ambiguous. None, but
-- somebody else's: own = false (forbidden). No row: unknown. EVSEs that are gone do not count.
-- status, k1, k2 are what is stored now: a first belief, judged again behind the shard's lock. Promise R10.
WITH report AS (
    SELECT (r.ord - 1)::integer AS ord, r.uid_key, r.location
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS r (uid_key, location, ord)
), other AS (
    -- The parties between, before and after the caller's: ranges of the index (uid_key, party), so that a uid like "1",
    -- which thousands of EVSEs share, costs no more than a rare one.
    SELECT coalesce(lag(p.id) OVER sorted, '') AS above, p.id AS below
    FROM (SELECT DISTINCT p.id COLLATE "C" AS id FROM unnest($1::text[]) AS p (id)
          UNION ALL SELECT U&'\+10FFFF') AS p
    WINDOW sorted AS (ORDER BY p.id)
)
SELECT r.ord, f.own, e.num, e.slot, e.shard, e.party, e.uid_key, s.location_id, s.key, s.cell, p.ttl_s, p.order_by,
       e.status, e.k1, e.k2, e.seen_ms
FROM report AS r
CROSS JOIN LATERAL (
    SELECT c.own, c.num, c.slot, bool_or(c.own) OVER () AS any_own
    FROM (
        (SELECT true AS own, e.num, e.slot
         FROM evse AS e
         WHERE r.location IS NULL AND e.party = ANY ($1::text[]) AND e.uid_key = r.uid_key AND NOT e.gone
         LIMIT 2)
        UNION ALL
        (SELECT s.party = ANY ($1::text[]), e.num, e.slot
         FROM station AS s
         JOIN evse AS e ON e.num = s.num
         -- || '': keeps the planner off evse_uid. It would AND the station's seven rows with the hundred thousand EVSEs
         -- whose uid is "1", which costs a hundred times what reading the seven does.
         WHERE substr(s.key, strpos(s.key, '~') + 1) = r.location AND e.uid_key || '' = r.uid_key AND NOT e.gone
         ORDER BY 1 DESC  -- as many as there are parties at most
         LIMIT 2)
        UNION ALL
        (SELECT false, e.num, e.slot
         FROM other AS o
         CROSS JOIN LATERAL (
             SELECT e.num, e.slot FROM evse AS e
             WHERE e.uid_key = r.uid_key AND e.party > o.above AND e.party < o.below AND NOT e.gone
             LIMIT 1
         ) AS e
         WHERE r.location IS NULL
         LIMIT 1)
    ) AS c
    ORDER BY c.own DESC
    LIMIT 2
) AS f
JOIN evse AS e ON e.num = f.num AND e.slot = f.slot
JOIN station AS s ON s.num = e.num
JOIN party AS p ON p.id = e.party
WHERE f.own OR NOT f.any_own
ORDER BY r.ord, f.own DESC, e.num, e.slot

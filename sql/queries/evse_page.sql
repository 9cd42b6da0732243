-- EVSEs in order of (num, slot), page by page: the status simulator walks them. $1 party (NULL: all), $2, $3 the last
-- num and slot seen (start with -1), $4 how many.
SELECT e.num, e.slot, e.party, s.location_id, e.uid, e.status, e.k1, e.k2
FROM evse AS e
JOIN station AS s ON s.num = e.num
WHERE (e.num, e.slot) > ($2::bigint, $3::smallint) AND NOT e.gone AND ($1::text IS NULL OR e.party = $1::text)
ORDER BY e.num, e.slot
LIMIT $4::integer

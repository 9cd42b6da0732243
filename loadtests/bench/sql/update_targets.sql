-- EVSEs of live parties from all over the world, whose location id no other party uses: a key that holds all parties means
-- them alone. $1 how many, about. The statuses are those that change among one another; see updates.py.
SELECT s.party, s.location_id, e.uid, e.status
FROM station AS s
JOIN evse AS e ON e.num = s.num AND e.slot = 0
WHERE NOT e.gone AND e.status IN (1, 3, 5, 8) AND NOT s.removed AND s.publish AND s.party LIKE '%*%'
  AND s.num % greatest(1, (SELECT count(*) FROM station) / $1::bigint) = 0
  AND NOT EXISTS (
      SELECT FROM station AS o
      WHERE substr(o.key, strpos(o.key, '~') + 1) = substr(s.key, strpos(s.key, '~') + 1) AND o.num <> s.num
  )
ORDER BY s.num

-- How many stations, not counting removed ones, a party has. $1 party; NULL: all.
SELECT count(*) AS stations FROM station WHERE NOT removed AND ($1::text IS NULL OR party = $1::text)

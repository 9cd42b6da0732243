-- The door (functions/apply_batch.sql); sql.door gives it typed rows.
SELECT kind, ord, outcome, n, status, k1, k2, seen_ms, written
FROM apply_batch($1::smallint, $2::bigint[], $3::smallint[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[],
                 $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
                 $13::bigint[], $14::bigint[], $15::text[], $16::text[], $17::text[], $18::text[],
                 $19::double precision[], $20::double precision[], $21::boolean[], $22::boolean[], $23::bigint[],
                 $24::bigint[], $25::integer[], $26::smallint[], $27::text[], $28::text[], $29::text[],
                 $30::boolean[], $31::bigint)

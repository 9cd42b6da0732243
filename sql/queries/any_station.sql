-- Whether the store holds any station at all: an empty one is filled with a synthetic country.
SELECT EXISTS (SELECT FROM station) AS filled

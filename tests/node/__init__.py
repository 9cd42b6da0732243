"""The second decoder of our tiles, npm @mapbox/vector-tile, run by Node."""

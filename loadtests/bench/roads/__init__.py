"""Drive times, routes and what routing does to everything else: S10."""

"""Live push: `GET /v1/live`, Server-Sent Events. See mapsvc.live.hub for how a change finds its subscribers."""

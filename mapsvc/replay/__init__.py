"""Recorded statuses played again through the real ingest: what happened then happens now, faster.

Pure: `polls_file` and `sessions` read recordings, `layout` makes stations of points, `polls` and `sessions` make steps,
`clock` maps source time onto now. Then `feed` is the way in, `player` plays steps on it, `ie` and `irve_sessions` put
the parts together for a format each, and `command` is the command.
"""

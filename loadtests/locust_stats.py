"""Hands a second's samples to Locust's own statistics at once, so that its web page, its tables, its CSV files and its
messages from workers to the master are right without an event for every request."""

from __future__ import annotations

import time

import numpy as np
from locust.stats import RequestStats, StatsEntry, StatsError, bucket_response_time

from loadtests.recorder import Row


def feed(stats: RequestStats, row: Row) -> None:
    """What the row has gathered since it was cut last. Sessions have rows of their own, but do not count among all requests:
    their time is the time of requests that were counted."""
    now = time.time()
    batch = StatsEntry(stats, row.name, row.method)
    ms = np.rint(1000 * np.array(row.times, np.float64)).astype(np.int64)
    batch.start_time = now
    batch.last_request_timestamp = now
    batch.num_requests = len(row.times)
    batch.num_reqs_per_sec[int(now)] = len(row.times)
    batch.num_failures = row.failures.total()
    batch.num_fail_per_sec[int(now)] = batch.num_failures
    batch.total_content_length = row.bytes
    batch.total_response_time = int(ms.sum())
    if len(ms):
        batch.min_response_time, batch.max_response_time = int(ms.min()), int(ms.max())
    for value, count in zip(*(column.tolist() for column in np.unique(ms, return_counts=True)), strict=True):
        batch.response_times[bucket_response_time(value)] += count
    stats.entries[(row.name, row.method)].extend(batch)
    if row.is_request:
        stats.total.extend(batch)
    for message, count in row.failures.items():  # the entries' own numbers of failures are there already
        key = StatsError.create_key(row.method, row.name, message)
        error = stats.errors.setdefault(key, StatsError(row.method, row.name, message))
        error.occurrences += count - 1
        error.occurred()

"""What Locust runs: `locust -f loadtests/locustfile.py`, or `make load`. See docs/load-tests.md."""

from __future__ import annotations

from locust import events

from loadtests.live_users import LiveUser
from loadtests.locust_run import Arrivals, take_part
from loadtests.locust_users import FastUser, LeanUser
from loadtests.options import add_arguments

__all__ = ["Arrivals", "FastUser", "LeanUser", "LiveUser"]

events.init_command_line_parser.add_listener(add_arguments)
events.init.add_listener(take_part)

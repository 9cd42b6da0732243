"""`mapsvc measure freshness|cost|live`: figures of the service that runs, as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from mapsvc.measure import cost, freshness, live, producer
from mapsvc.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    fresh = actions.add_parser("freshness", help="from the ack of an update until nearby and tile show it")
    fresh.add_argument("--rate", type=float, default=2000.0, help="updates per second beside (default: 2000)")
    fresh.add_argument("--seconds", type=float, default=30.0)
    fresh.add_argument("--import-stations", type=int, default=0, metavar="N", help="import N stations meanwhile")
    price = actions.add_parser("cost", help="CPU-µs per request of the API workers")
    push = actions.add_parser("live", help="what live subscribers cost, and how soon they are told")
    push.add_argument("--subscribers", type=int, default=2000)
    push.add_argument("--rate", type=float, default=2000.0, help="updates per second beside (default: 2000)")
    push.add_argument("--seconds", type=float, default=30.0)
    load = actions.add_parser("produce", help="post updates at a steady rate")
    load.add_argument("--rate", type=float, required=True)
    load.add_argument("--seconds", type=float, required=True)
    load.add_argument("--leave-out", default="", help="ids of stations not to touch, comma-separated")
    for action in (price, push):
        action.add_argument("--admin-url", help="default: http://127.0.0.1:ADMIN_PORT")
    for action in (fresh, price, push, load):
        action.add_argument("--url", help="default: http://127.0.0.1:PORT")


def run(args: argparse.Namespace, settings: Settings) -> int:
    url = args.url or f"http://127.0.0.1:{settings.port}"
    admin_url = getattr(args, "admin_url", None) or f"http://127.0.0.1:{settings.admin_port}"
    if args.action == "cost":
        print(json.dumps(asyncio.run(cost.measure(url, admin_url)), indent=1))
        return 0
    if settings.database_url is None:
        print("mapsvc: set DATABASE_URL (`mapsvc up` prints its own)", file=sys.stderr)
        return 2
    if args.action == "freshness":
        fresh = freshness.measure(settings.database_url, url, args.rate, args.seconds, args.import_stations)
        print(json.dumps(asyncio.run(fresh), indent=1))
    elif args.action == "live":
        push = live.measure(settings.database_url, url, admin_url, args.subscribers, args.rate, args.seconds)
        print(json.dumps(asyncio.run(push), indent=1))
    else:
        leave_out = {one.casefold() for one in args.leave_out.split(",") if one}
        asyncio.run(producer.produce(settings.database_url, url, args.rate, args.seconds, leave_out))
    return 0

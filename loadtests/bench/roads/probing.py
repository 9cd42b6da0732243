"""How long questions that have nothing to do with roads take: `python -m loadtests.bench.roads.probing`. Open loop, see
loadtests/bench/ingest/hot_tile.py."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.ingest.hot_tile import ask


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--paths", type=Path, required=True, help="what is asked in turn, a line each")
    parser.add_argument("--out", type=Path, required=True, help="where the figures go, as JSON")
    parser.add_argument("--rate", type=float, default=100.0, help="questions a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    paths = args.paths.read_text(encoding="utf-8").split()
    args.out.write_text(json.dumps(ask(args.url, paths, args.rate, args.seconds)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

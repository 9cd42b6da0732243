"""`mapsvc settings`: the settings in force, or the table for the README."""

from __future__ import annotations

import argparse

from mapsvc.settings import Settings, as_markdown, as_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="the table of the README: defaults instead of values")


def run(args: argparse.Namespace, settings: Settings) -> int:
    print(as_markdown() if args.markdown else as_text(settings))
    return 0

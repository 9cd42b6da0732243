"""The command line: `mapsvc <command>`, or `python -m mapsvc <command>`.

A command is a module with `add_arguments(parser)` and `run(args, settings) -> int`. Only the module of the command
asked for is imported: `mapsvc keys` need not wait for numpy. A command whose module is not in this build is not listed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from mapsvc.running import filled_in
from mapsvc.settings import SettingError, Settings

EXIT_USAGE = 2


class Command(NamedTuple):
    module: str
    help: str
    is_service: bool = False  # runs for long; the others may turn to the service that runs already
    prefix: str = ""  # a module with two commands has `add_keys_arguments`, `run_keys`


COMMANDS = {
    "up": Command("mapsvc.up", "run everything one machine needs, until Ctrl-C", is_service=True),
    "serve": Command("mapsvc.serve", "run the API workers", is_service=True),
    "ingest": Command("mapsvc.ingest.command", "run the writer of status updates and stations", is_service=True),
    "relay": Command("mapsvc.relay", "carry committed changes from PostgreSQL to Redis", is_service=True),
    "migrate": Command("mapsvc.migrate", "bring the database to the current schema"),
    "import": Command("mapsvc.importers.command", "import stations from files"),
    "generate": Command("mapsvc.generate", "fill the store with a seeded synthetic country"),
    "simulate": Command("mapsvc.simulate", "report live statuses for the generated stations", is_service=True),
    "replay": Command("mapsvc.replay.command", "replay recorded statuses"),
    "roads": Command("mapsvc.roads.command", "build the road graph for routing from OSM extracts"),
    "keys": Command("mapsvc.access", "create, revoke and list API keys", prefix="keys"),
    "party": Command("mapsvc.access", "set and list parties", prefix="party"),
    "rebuild-cache": Command("mapsvc.rebuild", "write Redis anew from PostgreSQL"),
    "verify": Command("mapsvc.verify", "compare Redis with PostgreSQL"),
    "settings": Command("mapsvc.settings_command", "print the settings in force"),
}


def is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def parser_for(argv: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows all commands, and the arguments of the one asked for."""
    parser = argparse.ArgumentParser(prog="mapsvc", description="Real-time charging-station map service.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        if not is_there(command.module):
            continue
        subparser = subparsers.add_parser(
            name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}."
        )
        if name in argv[:1]:
            module = importlib.import_module(command.module)
            infix = f"{command.prefix}_" if command.prefix else ""
            getattr(module, f"add_{infix}arguments")(subparser)
            subparser.set_defaults(run=getattr(module, f"run_{command.prefix}" if command.prefix else "run"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    args = parser_for(argv).parse_args(argv)
    try:
        settings = Settings.from_env(os.environ)
    except SettingError as error:
        print(f"mapsvc: {error}".replace("\n", "\nmapsvc: "), file=sys.stderr)
        return EXIT_USAGE
    if not COMMANDS[args.command].is_service:
        settings = filled_in(settings)
    code: int = args.run(args, settings)
    return code


if __name__ == "__main__":
    sys.exit(main())

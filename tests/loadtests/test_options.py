"""Options: from the command line, from a web form, and what they must be."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from loadtests.options import MIXES, OptionError, Options, add_arguments, flag
from loadtests.plan import SHAPES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "load-tests.md"


def parsed(*arguments: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return Options.of(vars(parser.parse_args(arguments)))


def test_the_command_line() -> None:
    options = parsed("--mix", "drivers-fresh", "--rate", "12.5", "--duration", "1m30s", "--max-p99-ms", "25")
    assert (options.fresh, options.rate, options.duration_s, options.max_p99_ms) == (True, 12.5, 90.0, 25.0)
    assert parsed() == Options()


def test_a_web_form_sends_text() -> None:
    options = Options.of({"rate": "40", "connections": "8", "max_p99_ms": "", "max_errors": "0.01", "host": "x"})
    assert (options.rate, options.connections, options.max_p99_ms, options.max_errors) == (40.0, 8, None, 0.01)


def test_they_survive_the_way_to_a_worker() -> None:
    options = Options(rate=3.0, max_session_p99_ms=9.0)
    assert Options.of(asdict(options)) == options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", "fast"),
        ("rate", 0.0),
        ("rate", "nan"),
        ("mix", "drives"),
        ("shape", "flat"),
        ("client", "slow"),
        ("duration", "soon"),
        ("connections", 0),
        ("connections", "1.5"),
        ("batch", 1001),
        ("producers", 0),
        ("warm_up", -1.0),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(OptionError, match=re.escape(flag(name))):
        Options.of({name: value})


def test_locusts_own_client_holds_no_streams() -> None:
    with pytest.raises(OptionError, match="FastHttpUser"):
        Options(mix="live", client="fast").of({"mix": "live", "client": "fast"})


def test_every_option_mix_and_shape_is_documented() -> None:
    document = DOCUMENT.read_text()
    names = [flag(option.name) for option in fields(Options)] + [*MIXES, *SHAPES]
    assert not [name for name in names if f"`{name}`" not in document]

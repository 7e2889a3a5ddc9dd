"""Continuous integration asks a failed screen again, alone, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AGAIN = Path(__file__).parents[2] / ".ci" / "again"
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

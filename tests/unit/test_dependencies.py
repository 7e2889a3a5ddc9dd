"""What is installed, and what the lock files say."""

import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)", re.MULTILINE)


def pins(lock: str) -> set[tuple[str, str]]:
    return {(pin["name"], pin["version"]) for pin in PIN.finditer((ROOT / lock).read_text())}


def test_passlib_comes_from_libpass_alone() -> None:
    """Two distributions would write the same files: the last one installed wins, and no tool says so."""
    assert packages_distributions()["passlib"] == ["libpass"]


def test_what_serves_is_what_was_tested() -> None:
    run = pins("requirements.run.lock")
    assert "libpass" in dict(run)
    assert run < pins("requirements.lock")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_are_hashed_and_name_neither_host_nor_path(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r'://|(^|[ "])/', text, re.MULTILINE)
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert requirements
    assert all("--hash=sha256:" in requirement for requirement in requirements)

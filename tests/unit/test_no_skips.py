"""Where tests run for continuous integration, a skipped one fails the run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FINE = "import pytest\n@pytest.mark.xfail\ndef test_known_fault(): assert False\ndef test_fine(): pass\n"
SKIPPED = FINE + "def test_page(): pytest.skip('no browser')\n"


@pytest.mark.parametrize(
    "source,arguments,code",
    [
        (SKIPPED, [], pytest.ExitCode.OK),
        (SKIPPED, ["-p", "tests.no_skips"], pytest.ExitCode.TESTS_FAILED),
        (SKIPPED, ["-p", "tests.no_skips", "-n", "1"], pytest.ExitCode.TESTS_FAILED),
        (FINE, ["-p", "tests.no_skips"], pytest.ExitCode.OK),
    ],
)
def test_a_skip_fails_the_run(tmp_path: Path, source: str, arguments: list[str], code: pytest.ExitCode) -> None:
    (tmp_path / "test_it.py").write_text(source)
    configuration = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *configuration, *arguments, tmp_path],
        check=False,
        capture_output=True,
        cwd=ROOT,
    )
    assert run.returncode == code

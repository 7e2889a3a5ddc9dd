"""Where tests run for continuous integration, a skipped one fails the run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = "import pytest\ndef test_it(): pytest.skip('no browser')\n"
SKIPPED_WHOLE = "import pytest\npytest.skip('no browser', allow_module_level=True)\n"
PASSED = "def test_it(): pass\n"
EXPECTED_TO_FAIL = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"


def run(folder: Path, source: str, *arguments: str) -> int:
    test = folder / "test_it.py"
    test.write_text(source)
    pytest_command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml")]
    finished = subprocess.run(
        [*pytest_command, f"--rootdir={folder}", *arguments, str(test)],
        check=False,
        capture_output=True,
        cwd=ROOT,
    )
    return finished.returncode


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_skip_fails_the_run(tmp_path: Path, workers: str) -> None:
    assert run(tmp_path, SKIPPED + PASSED.replace("it", "another"), "-n", workers) == pytest.ExitCode.OK
    assert run(tmp_path, SKIPPED, "-n", workers, "-p", "tests.no_skips") == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "source,code",
    [
        (SKIPPED_WHOLE + PASSED, pytest.ExitCode.NO_TESTS_COLLECTED),
        (PASSED, pytest.ExitCode.OK),
        (EXPECTED_TO_FAIL, pytest.ExitCode.OK),
    ],
)
def test_other_outcomes_keep_their_exit_code(tmp_path: Path, source: str, code: pytest.ExitCode) -> None:
    assert run(tmp_path, source, "-p", "tests.no_skips") == code

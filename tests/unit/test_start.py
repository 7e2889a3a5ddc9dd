"""A start loads what every start needs, and nothing that only some need: memory and time stay within their budget."""

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from coatcheck import migrate

# What costs more than a few megabytes or 30 ms, and is loaded by whoever uses it.
LATER = {"aiosmtplib", "alembic", "httpx2", "jinja2", "prometheus_client", "pyotp", "redis", "segno", "webauthn"}
MOST = 125  # MB; the budget of a worker is 120, and what tests install beside it takes some more


def _told(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()


def test_start_loads_no_library_that_it_may_never_need() -> None:
    """The application of an embedded worker is there without Redis' client, Alembic, factors, mail and templates."""
    loaded = _told("import sys, coatcheck.app, coatcheck.cli; print(*{name.partition('.')[0] for name in sys.modules})")
    assert "fastapi" in loaded
    assert not LATER & set(loaded)


def test_start_stays_within_its_memory() -> None:
    """All that is imported at a start leaves room for the work."""
    [bytes_] = _told("import psutil, coatcheck.app, coatcheck.cli; print(psutil.Process().memory_info().rss)")
    assert int(bytes_) < MOST * 1_000_000


def test_start_knows_the_migrations_without_alembic() -> None:
    """The revisions read from the scripts' names are Alembic's own, in its order."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert migrate._known() == revisions[::-1]

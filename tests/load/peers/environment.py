"""An environment of their own for the peers, installed once into a cache folder, from requirements.txt beside this."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
_REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """The interpreter of that environment. Raises RuntimeError when it can't be installed."""
    name = sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coatcheck-bench" / name
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, folder)
        _uv("pip", "sync", "--quiet", "--require-hashes", "--python", interpreter, _REQUIREMENTS)
        (folder / "complete").touch()
    return interpreter


def _uv(*arguments: str | Path) -> None:
    """With the index and the certificates that pip is told to use on this machine, as .ci/venv does."""
    environment = dict(os.environ) | {"UV_SYSTEM_CERTS": "true", "UV_PYTHON_DOWNLOADS": "never"}
    asking = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    index = os.environ.get("PIP_INDEX_URL") or _said(asking)
    if index:
        environment.setdefault("UV_DEFAULT_INDEX", index)
    command = [Path(sys.executable).with_name("uv"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the peers can't be installed: uv {arguments[0]} ended with {done.returncode}")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

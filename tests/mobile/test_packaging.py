"""What can be known of the Android package without building it (docs/mobile.md tells the rest)."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from configparser import ConfigParser
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from mobile_demo.draw_icon import icon

APP = Path("mobile_demo")
RECIPES = {"python3", "kivy", "pyjnius"}  # built by python-for-android, with code of their own for the phone
DESKTOP = {"aes_gcm.py", "key_file_seal.py", "keyring_seal.py", "draw_icon.py", "__main__.py"}
GONE_IN_3_14 = frozenset(
    "aifc asynchat asyncore audioop cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib nis nntplib "  # noqa: SIM905
    "ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu xdrlib".split()
)


def spec() -> dict[str, str]:
    """The spec's [app] section."""
    parser = ConfigParser(interpolation=None, strict=True)
    parser.read(APP / "buildozer.spec")
    return dict(parser["app"])


def pins() -> dict[str, str]:
    """Each requirement with its version."""
    return dict(one.strip().split("==") for one in spec()["requirements"].split(","))


def pure() -> list[Distribution]:
    """What pip brings onto the phone."""
    return [distribution(name) for name in pins() if name not in RECIPES]


def test_the_spec_asks_for_little() -> None:
    """The network and nothing else; no backup; a target the store takes; real 64-bit and older phones."""
    app = spec()
    assert app["android.permissions"] == "android.permission.INTERNET"
    assert app["android.allow_backup"] == "False"
    assert int(app["android.api"]) >= 35
    assert int(app["android.minapi"]) >= 26
    assert app["android.archs"] == "arm64-v8a, armeabi-v7a"
    assert not [name for name in app if "service" in name or name == "android.add_src"]


def test_every_requirement_is_pinned_to_what_is_tested_here() -> None:
    """The versions these tests run with are those the phone gets."""
    for found in pure():
        assert pins()[found.name.lower().replace("_", "-")] == found.version
    assert pins()["kivy"] == distribution("kivy").version


@pytest.mark.parametrize("name", [name for name in pins() if name not in RECIPES])
def test_what_pip_brings_is_pure_python(name: str) -> None:
    """One wheel for every machine: `Root-Is-Purelib`, tag `py3-none-any`, no compiled file."""
    wheel = distribution(name).read_text("WHEEL") or ""
    assert "Root-Is-Purelib: true" in wheel
    assert re.search(r"^Tag: py3-none-any$", wheel, re.MULTILINE)
    assert not [file for file in distribution(name).files or [] if file.suffix in (".so", ".pyd")]


def test_nothing_is_missing() -> None:
    """What the requirements require on the phone's Python is among them; pip there resolves nothing by itself."""
    phone = {**default_environment(), "python_version": "3.14", "python_full_version": "3.14.2", "extra": ""}
    needed = {
        Requirement(line).name.lower().replace("_", "-")
        for found in pure()
        for line in found.requires or []
        if _applies(Requirement(line), phone)
    }
    assert needed <= set(pins())


def test_the_app_imports_nothing_else() -> None:
    """Of what goes onto the phone: the standard library, Kivy, the requirements; nothing that Python 3.14 removed."""
    allowed = set(sys.stdlib_module_names) | {"kivy", "certifi", "httpx2"}
    for file in APP.rglob("*.py"):
        if file.name in DESKTOP:
            continue
        found = _imported(file)
        assert found <= allowed, (file, found - allowed)
        assert not found & GONE_IN_3_14, file


def test_the_desktop_files_stay_at_home() -> None:
    """And only they are left out."""
    left_out = {pattern.strip() for pattern in spec()["source.exclude_patterns"].split(",")}
    assert left_out - {"*/__pycache__/*"} == DESKTOP


def test_the_requirements_use_nothing_that_python_3_14_removed() -> None:
    """As the phone's Python is 3.14."""
    gone = re.compile(rf"^\s*(?:import|from) ({'|'.join(GONE_IN_3_14)})\b", re.MULTILINE)
    for found in pure():
        for file in found.files or []:
            if file.suffix == ".py":
                assert not gone.search(Path(str(found.locate_file(file))).read_text("utf-8")), file


def test_the_icon_is_what_its_drawing_draws() -> None:
    """`python -m mobile_demo.draw_icon` made it, and nobody touched it since."""
    assert (APP / "icon.png").read_bytes() == icon()


def test_it_starts_as_android_starts_it(tmp_path: Path) -> None:
    """There the folder is called `app` and nobody installed it: `main.py` runs, and every module finds the others."""
    shutil.copytree(APP, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    every = "import sys; sys.path.insert(0, '..'); import app.app"
    environment = os.environ | {"SDL_VIDEODRIVER": "offscreen", "KIVY_HOME": str(tmp_path), "KIVY_NO_ARGS": "1"}
    for arguments in (["main.py", "--help"], ["-c", every]):
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path / "app", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def _applies(requirement: Requirement, environment: Mapping[str, Any]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(dict(environment))


def _imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found

"""What this device calls itself at its first sign-in; the person can rename it."""

import importlib
import importlib.util
import platform
import sys

_SYSTEMS = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}


def describe() -> dict[str, str]:
    """`name` and `platform` for the login's `device`."""
    if importlib.util.find_spec("jnius"):
        build = importlib.import_module("jnius").autoclass("android.os.Build")
        return {"name": f"{build.MANUFACTURER} {build.MODEL}".strip()[:64] or "Phone", "platform": "android"}
    system = _SYSTEMS.get(sys.platform, platform.system() or "Computer")
    return {"name": f"Coatcheck on {system}", "platform": system.lower()}

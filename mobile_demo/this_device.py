"""What this device calls itself at its first sign-in; the person can rename it."""

import importlib
import os
import platform
import sys

_SYSTEMS = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}


def is_android() -> bool:
    """Whether python-for-android runs us. (pyjnius alone says nothing: desktops may have it.)"""
    return "ANDROID_ARGUMENT" in os.environ


def describe() -> dict[str, str]:
    """`name` and `platform` for the login's `device`."""
    if is_android():
        build = importlib.import_module("jnius").autoclass("android.os.Build")
        return {"name": f"{build.MANUFACTURER} {build.MODEL}".strip()[:64] or "Phone", "platform": "android"}
    system = _SYSTEMS.get(sys.platform, platform.system() or "Computer")
    return {"name": f"Coatcheck on {system}", "platform": system.lower()}

"""Reads the command line and opens the app. Kivy reads its own settings at import, so they are made before that."""

import argparse
import logging
import os
import sys
from pathlib import Path

FOLDER = "COATCHECK_APP_FOLDER"


def run(arguments: list[str] | None = None) -> None:
    """Until the window is closed. Exits with a sentence when the server's address can't be used."""
    chosen = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    os.environ.setdefault("KIVY_NO_ARGS", "1")  # the command line is ours
    from kivy.config import Config  # noqa: PLC0415  # reads the environment
    from kivy.logger import Logger  # noqa: PLC0415

    if chosen.size:
        width, height = chosen.size
        Config.set("graphics", "width", width)
        Config.set("graphics", "height", height)
    Config.set("input", "mouse", "mouse,disable_multitouch")  # no red dots at right clicks
    Config.set("kivy", "exit_on_escape", "0")  # Escape is the back button
    Logger.setLevel(logging.WARNING)
    for talkative in ("httpx2", "httpcore2", "asyncio"):  # Kivy's log takes in everybody's
        logging.getLogger(talkative).setLevel(logging.WARNING)
    from .app import CoatcheckApp  # noqa: PLC0415
    from .server_address import AddressRefused, server_address  # noqa: PLC0415

    try:
        server = server_address(chosen.server) if chosen.server else None
    except AddressRefused as refused:
        raise SystemExit(str(refused)) from None
    CoatcheckApp(server=server, folder=chosen.folder).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mobile_demo", description="Coatcheck, the phone app, in a window.")
    parser.add_argument("--server", help="address of the server, https:// or on this machine")
    given = os.environ.get(FOLDER)
    parser.add_argument("--folder", type=Path, default=Path(given) if given else None, help="where it keeps things")
    parser.add_argument("--size", type=_size, default=None, help="of the window, such as 390x780")
    return parser


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)

"""What isn't secret: the server's address and the appearance. A damaged file means the defaults."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from . import atomic_file
from .server_address import AddressRefused, server_address

Appearance = Literal["system", "light", "dark"]
DEFAULT_SERVER = "http://localhost:8000"


@dataclass(frozen=True)
class Preferences:
    """Chosen in the settings screen."""

    server: str = DEFAULT_SERVER
    appearance: Appearance = "system"

    @classmethod
    def load(cls, folder: Path) -> "Preferences":
        """The defaults for whatever is missing or makes no sense."""
        try:
            read = json.loads((folder / "preferences.json").read_bytes())
            chosen: Appearance = read["appearance"] if read["appearance"] in get_args(Appearance) else "system"
            return cls(server_address(read["server"]), chosen)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, AddressRefused):
            return cls()

    def save(self, folder: Path) -> None:
        """Raises OSError."""
        atomic_file.write(folder / "preferences.json", json.dumps(asdict(self)).encode())

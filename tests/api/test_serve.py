"""`coatcheck serve` runs by the settings it was given, wherever they stand."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live import serving

METADATA = "/.well-known/oauth-authorization-server"


@pytest.mark.parametrize("given", ["file", "environment", "nowhere"])
def test_serve_takes_its_public_url_from_where_it_stands(tmp_path: Path, given: str) -> None:
    """The issuer is what the dotenv file or the environment says; the port's own address where neither does."""
    url = "https://accounts.example.test"
    settings: dict[str, Any] = {"data_dir": tmp_path / "data"}
    if given == "file":
        (tmp_path / "coatcheck.env").write_text(f"COATCHECK_PUBLIC_URL={url}\n")
        settings["env_file"] = tmp_path / "coatcheck.env"
    elif given == "environment":
        settings["public_url"] = url
    with serving(tmp_path / "log", **settings) as live:
        issuer = httpx2.get(f"{live.url}{METADATA}").json()["issuer"]
        assert issuer == (live.origin if given == "nowhere" else url)
        assert f"open {issuer} " in live.log.read_text()

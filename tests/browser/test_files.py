"""What the app's files promise before any browser reads them."""

import re
from pathlib import Path


def test_app_never_parses_html(spa_folder: Path) -> None:
    """No file of the app mentions a way to turn text into markup or code."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|setHTML"
    )
    assert [file.name for file in spa_folder.rglob("*.js") if forbidden.search(file.read_text())] == []


def test_session_http_and_api_import_nothing_from_the_views(spa_folder: Path) -> None:
    """What one copies into another app stands without this one's views and page."""
    wanted, seen = ["session.js", "api.js", "events.js"], set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            text = (spa_folder / name).read_text()
            wanted += [found.removeprefix("./") for found in re.findall(r'^import .*?"(\./[^"]+)"', text, re.MULTILINE)]
    assert seen == {
        "api.js",
        "clock.js",
        "config.js",
        "ends.js",
        "events.js",
        "grant.js",
        "http.js",
        "notes.js",
        "session.js",
        "tabs.js",
    }

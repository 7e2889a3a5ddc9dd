"""The phone app's styles: one rule a name."""

import re
from collections import Counter
from pathlib import Path

_RULE = re.compile(r"^<-?([A-Za-z]+)(@[A-Za-z+]+)?>:", re.MULTILINE)


def test_styles_have_each_name_once() -> None:
    """Two rules of one name would both be applied, and one widget would be drawn as the other."""
    folder = Path(__file__).parents[2] / "mobile_demo"
    names = Counter(match[1] for file in folder.rglob("*.kv") for match in _RULE.finditer(file.read_text()))
    assert len(names) > 20
    assert [name for name, times in names.items() if times > 1] == []

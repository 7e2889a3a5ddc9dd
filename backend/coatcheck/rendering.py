"""Templates: the only file that imports `jinja2`, and not before the first page or mail.

Everything put into an `.html` template is escaped, and a name that was not given is an error, never an empty hole
(ASVS 1.2.1, 1.3.7: a template is a file of ours, what a person typed is only ever a value in it).
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import words

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """`render("pages/home.html", name="Ada")`: the text."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape  # noqa: PLC0415  # 9 MB, 70 ms

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(("html",), default=False),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= words.SPOKEN
    return environment

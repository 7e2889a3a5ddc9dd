"""The mails themselves: both forms, the same links, no word lost, nothing that a stranger typed taken for more than it
is."""

import re
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

import pytest

from coatcheck import ids, mail, settings
from coatcheck.mail import TEMPLATES, Letter, Template
from coatcheck.settings import MAIL_TEMPLATES
from tests.house import SECRET

URL = "https://coatcheck.test"
WORD = re.compile(r"{{ *(\w+)")
SITE = {"site", "home"}  # every template has them

LANGUAGES = sorted(folder for folder in MAIL_TEMPLATES.iterdir() if folder.is_dir())
every_template = pytest.mark.parametrize("template", TEMPLATES)


def words_of(template: str, form: str, folder: Path = MAIL_TEMPLATES / "en") -> set[str]:
    return set(WORD.findall((folder / f"{template}.{form}").read_text())) - SITE


def composed(template: Template, to: str = "ada@example.test", **words: str) -> EmailMessage:
    given = {
        name: f"{URL}/account/{name}#cct" if name.endswith("link") else f"a {name}" for name in words_of_both(template)
    }
    found = settings.load({}, secret_key=[SECRET], public_url=URL)
    return mail.compose(found, Letter(ids.new(), to, template, given | words, None), 1_800_000_000_000)


def words_of_both(template: str) -> set[str]:
    return words_of(template, "txt") | words_of(template, "html")


def forms(message: EmailMessage) -> tuple[str, str]:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


class Page(HTMLParser):
    """Links and visible words of an HTML mail."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {str(value) for name, value in attrs if name in ("href", "src")}

    def handle_data(self, data: str) -> None:
        self.text += data


@every_template
def test_mail_has_both_forms_with_the_same_words_and_links(template: Template) -> None:
    """Text and HTML hold the same words and the same links, all of them ours, and the text begins with the subject."""
    assert words_of(template, "txt") == words_of(template, "html")
    message = composed(template)
    text, html = forms(message)
    links = set(re.findall(r"https?://\S+", text))
    assert links == Page(html).links
    assert all(link.startswith(f"{URL}/") for link in links)
    for word in words_of_both(template):
        if not word.endswith("link"):
            assert f"a {word}" in text
            assert f"a {word}" in Page(html).text
    assert message["Subject"]
    assert message["Subject"] not in text.splitlines()[0]
    assert f"<title>{message['Subject']}</title>" in html


@every_template
def test_mail_loads_nothing_from_anywhere(template: Template) -> None:
    """No picture, no script, no style sheet: nothing that tells who has opened it."""
    _, html = forms(composed(template))
    assert not {"img", "script", "link", "iframe", "form"} & Page(html).tags
    assert "url(" not in html


def test_mail_has_no_template_left_over() -> None:
    """Every file belongs to a mail that can be sent, in English completely, in other languages in part."""
    expected = {f"{name}.{form}" for name in (*TEMPLATES, "base") for form in ("txt", "html")}
    assert {file.name for file in (MAIL_TEMPLATES / "en").iterdir()} == expected
    for folder in LANGUAGES:
        files = {file.name for file in folder.iterdir()}
        assert files <= expected
        assert {file.removesuffix(".txt") for file in files if file.endswith(".txt")} == {
            file.removesuffix(".html") for file in files if file.endswith(".html")
        }


NASTY = [
    '"><img src=x onerror=alert(1)>',
    "</script><b>hello",
    "{{7*7}} {0.__class__} %s {% raw %}",
    "Ada\r\nBcc: mallory@example.test\r\n\r\nhello",
    "click http://evil.test/now or evil.test or m@evil.test",
    "a\u202egpj.exe\u2028new line\x07",
]


@pytest.mark.parametrize("typed", NASTY)
@every_template
def test_mail_shows_what_was_typed_as_plain_words(template: Template, typed: str) -> None:
    """A device's name with markup, a template, line breaks or a link is words and nothing else."""
    typable = sorted(name for name in words_of_both(template) if not name.endswith("link"))
    honest, message = composed(template), composed(template, **dict.fromkeys(typable, typed))
    text, html = forms(message)
    assert Page(html).links == Page(forms(honest)[1]).links
    assert Page(html).tags == Page(forms(honest)[1]).tags
    assert {name.lower() for name in message.keys()} == {name.lower() for name in honest.keys()}  # noqa: SIM118
    assert message["Subject"] == honest["Subject"]
    assert "evil.test" not in text + html
    assert not re.search("[\u202e\u2028\x07\r]", text)
    if "7*7" in typed and typable:
        assert "{{7*7}} {0 __class__} %s {% raw %}" in text
    assert "49" not in text


@pytest.mark.parametrize(
    "to",
    [
        *("ada@example.test\r\nBcc: m@example.test", "ada@example.test, m@example.test", "Ada <ada@example.test>"),
        *("", "ada", "ada@example.test\nX: y", "<ada@example.test>", "a@b.test m@b.test"),
    ],
)
def test_mail_goes_to_exactly_one_address(to: str) -> None:
    """What is not exactly one plain address is refused; an address beyond ASCII is one too."""
    with pytest.raises(ValueError, match="exactly one address"):
        composed("password_reset", to)
    assert composed("password_reset", "zoé@example.test")["To"].addresses[0].addr_spec == "zoé@example.test"


def test_mail_is_known_at_every_try() -> None:
    """The Message-ID comes from the row and names no machine; the mail says that nobody wrote it."""
    message = composed("password_reset")
    assert re.fullmatch(r"<[0-9a-f]{32}@coatcheck\.test>", message["Message-ID"])
    assert message["From"] == "Coatcheck <coatcheck@coatcheck.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() == 1_800_000_000


def test_mail_docs_tell_every_template() -> None:
    """docs/mail.md has each mail once, and none that does not exist."""
    page = (Path(__file__).parents[2] / "docs" / "mail.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(TEMPLATES)

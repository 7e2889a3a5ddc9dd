"""Which addresses are the API's and which are pages, and where a page may send somebody on to."""

from re import compile as pattern

API = ("/v1/", "/oauth/", "/.well-known/")
_PAGES = ("/account", "/admin")
_OWN = pattern(r"/(?:account|admin)(?:/[A-Za-z0-9_-]+)*(?:\.json|\.csv)?(?:\?[A-Za-z0-9_.=&%+/-]*)?")
HOME = "/account"


def is_page(path: str) -> bool:
    """Whether this address is one of the server-rendered pages."""
    return path.startswith(_PAGES) and (path in _PAGES or path.startswith(tuple(f"{root}/" for root in _PAGES)))


def own(target: str | None) -> str:
    """`target` if it is the address of a page of ours, else the home page: no open redirect (ASVS 3.7.2).

    A list of what is good, not of what is bad: no scheme, no host, no empty segment, no backslash.
    """
    return target if target and len(target) <= 512 and _OWN.fullmatch(target) else HOME

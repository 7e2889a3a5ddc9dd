"""Somebody who visits the pages with a browser that knows forms and cookies, and nothing else."""

import re
from typing import Self

import httpx2

from tests.house import PASSWORD, URL, House


def token_in(text: str) -> str:
    """The hidden field of a page's form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', text)
    assert found, text
    return found[1]


class Visitor:
    """One browser profile, over HTTP."""

    def __init__(self, house: House, **options: str) -> None:
        self.house, self.http = house, house.http(**options)
        self.last: httpx2.Response

    async def get(self, path: str) -> httpx2.Response:
        """Look at a page; redirects are not followed."""
        self.last = await self.http.get(path, headers={"Sec-Fetch-Site": "same-origin"})
        return self.last

    async def post(self, path: str, look: str | None = None, **fields: str) -> httpx2.Response:
        """Send the form of a page; its token is that of the page at `look` (default: home)."""
        token = token_in((await self.get(look or "/account")).text)
        return await self.send(path, fields | {"csrf_token": token})

    async def send(self, path: str, fields: dict[str, str]) -> httpx2.Response:
        """Send these fields, as a form of our own page would."""
        self.last = await self.http.post(path, data=fields, headers={"Origin": URL})
        return self.last

    async def sign_in(
        self, email: str = "ada@example.test", password: str = PASSWORD, via: str = "/account/sign-in"
    ) -> Self:
        """Fill in the sign-in form."""
        answer = await self.post(via, look=via, email=email, password=password)
        assert answer.status_code == 303, answer.text
        return self

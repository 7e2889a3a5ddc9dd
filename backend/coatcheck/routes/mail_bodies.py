"""What comes in about addresses, and by the links of mails."""

from typing import Annotated

from pydantic import AfterValidator, Field

from .bodies import Email, Password, _In, _no_nul

LinkToken = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_no_nul)]


class EmailIn(_In):
    """An address to write to."""

    email: Email


class LinkIn(_In):
    """The token of a link."""

    token: LinkToken


class LinkPasswordIn(LinkIn):
    """The token of a link, and the account's password."""

    password: Password


class NewPasswordIn(_In):
    """The token of a link, and the password from now on."""

    token: LinkToken
    new_password: Password

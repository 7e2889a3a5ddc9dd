"""What may come in to the administrators' desk."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..roles import Role
from .bodies import _no_nul


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SearchIn(_In):
    """Which accounts; an absent field is any. `email` is the beginning of an address.

    In a body, not in the address of the request: what is looked for is somebody's e-mail address.
    """

    email: Annotated[str, Field(max_length=254), AfterValidator(_no_nul)] | None = None
    role: Role | None = None
    disabled: bool | None = None
    after: Annotated[str, Field(max_length=64), AfterValidator(_no_nul)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class RoleIn(_In):
    """The role from now on."""

    role: Role

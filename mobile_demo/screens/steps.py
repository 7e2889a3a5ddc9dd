"""From one step of a sign-in to the next: the password, the second step, making room."""

from collections.abc import Awaitable

from ..refusals import SecondStep, Unfinished
from .page import Page


async def needed(entering: Awaitable[None]) -> Unfinished | None:
    """What the sign-in still needs; None when it is through. Raises what else `entering` does."""
    try:
        await entering
    except Unfinished as step:
        return step
    return None


def go_on(page: Page, email: str, step: Unfinished) -> None:
    """Ask for it, unless the person has left `page` meanwhile: that gave the sign-in up.

    A spent challenge is nothing to go back to, so `back` leads to the password from each of them.
    """
    frame = page.app.frame
    if frame.here != page.name:
        return
    name = "second_step" if isinstance(step, SecondStep) else "no_room"
    frame.ids.screens.get_screen(name).ask_for(email, step)
    if page.name == "sign_in":
        frame.show(name)
    else:
        frame.turn_to(name)

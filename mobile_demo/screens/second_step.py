"""The step after the password, for accounts that have one: a code of the authenticator app, or a recovery code."""

from kivy.properties import StringProperty

from ..refusals import Refused, Unfinished
from ..refusals import SecondStep as Awaited
from ..words import WRONG_CODE
from .page import Page
from .steps import go_on, needed

_APP = "totp"
_RECOVERY = "recovery_code"


class SecondStep(Page):
    """Remembers what was asked for until it is left; nothing of it is kept on the device."""

    method = StringProperty(_APP)
    other = StringProperty()

    def ask_for(self, email: str, step: Awaited) -> None:
        """`step` is what the server awaits of `email`."""
        self._email, self._step = email, step
        ways = [method for method in (_APP, _RECOVERY) if method in step.methods]
        self.other = _RECOVERY if len(ways) == 2 else ""
        self.method = ways[0] if ways else ""

    def change_way(self) -> None:
        """The app's code, or a recovery code."""
        self.method, self.other = self.other, self.method
        self.trouble = self.ids.code.text = ""

    def submit(self) -> None:
        """The button, or the keyboard's own."""
        code = self.ids.code.text.strip()
        if not code:
            self.trouble = "Type the code, then try again."
            return
        self.trouble = ""
        self.app.work(self._verify(code), self._done, self._failed)

    def on_leave(self, *_: object) -> None:
        """A code doesn't wait on a screen."""
        super().on_leave()
        self.ids.code.text = ""

    async def _verify(self, code: str) -> str | Unfinished | None:
        """What is wrong with the code, or what is needed beside it; None when all is well."""
        verify = self.app.core.session.verify
        try:
            return await needed(verify(self._email, self._step.challenge_token, self.method, code))
        except Refused as refused:
            if refused.code != "invalid_credentials":
                raise
            return WRONG_CODE

    def _done(self, outcome: str | Unfinished | None) -> None:
        if isinstance(outcome, Unfinished):
            go_on(self, self._email, outcome)
        elif outcome:
            self._failed(outcome)

    def _failed(self, sentence: str) -> None:
        self.trouble = sentence
        self.ids.code.text = ""

"""Sign in with address and password."""

from ..refusals import SecondStep
from .page import Page


class SignIn(Page):
    """Says why it is shown, if the person didn't ask for it."""

    def submit(self) -> None:
        """The button, or the keyboard's own."""
        email, password = self.ids.email.text.strip(), self.ids.password.text
        if not email or not password:
            self.trouble = "Type your address and your password, then try again."
            return
        self.trouble = ""
        self.app.work(self._sign_in(email, password), lambda step: self._done(email, step), self._failed)

    def on_leave(self, *_: object) -> None:
        """A password doesn't wait on a screen."""
        super().on_leave()
        self.ids.password.text = ""

    async def _sign_in(self, email: str, password: str) -> SecondStep | None:
        try:
            await self.app.core.session.sign_in(email, password)
        except SecondStep as step:
            return step
        return None

    def _done(self, email: str, step: SecondStep | None) -> None:
        self.ids.password.text = ""
        if step:
            self.app.frame.ids.screens.get_screen("second_step").ask_for(email, step)
            self.app.show("second_step")

    def _failed(self, sentence: str) -> None:
        self.trouble = sentence

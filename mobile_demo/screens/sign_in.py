"""Sign in with address and password."""

from ..refusals import Unfinished
from .page import Page
from .steps import go_on, needed


class SignIn(Page):
    """Says why it is shown, if the person didn't ask for it."""

    def submit(self) -> None:
        """The button, or the keyboard's own."""
        email, password = self.ids.email.text.strip(), self.ids.password.text
        if not email or not password:
            self.trouble = "Type your address and your password, then try again."
            return
        self.trouble = ""
        work = needed(self.app.core.session.sign_in(email, password))
        self.app.work(work, lambda step: self._done(email, step), self._failed)

    def on_leave(self, *_: object) -> None:
        """A password doesn't wait on a screen."""
        super().on_leave()
        self.ids.password.text = ""

    def _done(self, email: str, step: Unfinished | None) -> None:
        self.ids.password.text = ""
        if step:
            go_on(self, email, step)

    def _failed(self, sentence: str) -> None:
        self.trouble = sentence

"""Sign in with address and password."""

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
        self.app.work(self.app.core.session.sign_in(email, password), self._done, self._failed)

    def on_leave(self, *_: object) -> None:
        """A password doesn't wait on a screen."""
        super().on_leave()
        self.ids.password.text = ""

    def _done(self, _nothing: None) -> None:
        self.ids.password.text = ""

    def _failed(self, sentence: str) -> None:
        self.trouble = sentence

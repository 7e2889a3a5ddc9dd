"""Make an account; it signs in at once."""

from .page import Page


class SignUp(Page):
    """The server judges the password; its sentence is shown."""

    def submit(self) -> None:
        """The button, or the keyboard's own."""
        name, email = self.ids.name.text.strip(), self.ids.email.text.strip()
        password = self.ids.password.text
        if not email or not password:
            self.trouble = "Type an address and a password, then try again."
            return
        self.trouble = ""
        self.app.work(self.app.core.api.sign_up(email, password, name or None), self._done, self._failed)

    def on_leave(self, *_: object) -> None:
        """A password doesn't wait on a screen."""
        super().on_leave()
        self.ids.password.text = ""

    def _done(self, _nothing: None) -> None:
        self.ids.password.text = ""

    def _failed(self, sentence: str) -> None:
        self.trouble = sentence

"""Make an account; it signs in at once."""

from kivy.properties import NumericProperty, StringProperty

from ..strength import strength
from .page import Page

_ADVICE = "A few words that nobody would guess make a good one."


class SignUp(Page):
    """The server judges the password, and its sentence is shown; what is said while typing is an estimate."""

    advice = StringProperty(_ADVICE)
    level = NumericProperty(-1)  # of strength.py; -1: nothing typed yet

    def on_kv_post(self, base: object) -> None:
        """Look at each letter."""
        super().on_kv_post(base)
        for field in (self.ids.password, self.ids.email):
            field.ids.input.bind(text=self._typed)

    def _typed(self, *_: object) -> None:
        password = self.ids.password.text
        level, words = strength(password, known=[self.ids.email.text])
        self.level, self.advice = (level, words) if password else (-1, _ADVICE)

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

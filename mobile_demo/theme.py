"""The colours of the look, light and dark, under the look's own names. `theme.kv` uses them."""

import importlib
from typing import Any

from kivy.event import EventDispatcher
from kivy.properties import BooleanProperty, ColorProperty

from .preferences import Appearance
from .this_device import is_android

LIGHT = {
    "paper": "#f6f2ea",
    "card": "#fffdf8",
    "card_ended": "#faf7f0",
    "ink": "#23201a",
    "soft": "#6d6557",
    "line": "#e2d9c8",
    "brand": "#8c2f39",
    "brand_soft": "#f3e2df",
    "brand_line": "#ca9a9b",
    "against_brand": "#fffdf8",
    "ok": "#2f6b4f",
    "ok_soft": "#dfe8df",
    "warn": "#93610b",
    "warn_soft": "#f6ead0",
    "calm": "#ebe7de",
    "shade": "#23201a",
}
DARK = {
    "paper": "#17150f",
    "card": "#211e16",
    "card_ended": "#1d1a13",
    "ink": "#f1ebdd",
    "soft": "#a89f8c",
    "line": "#38332a",
    "brand": "#e0717c",
    "brand_soft": "#3a2524",
    "brand_line": "#8d4b51",
    "against_brand": "#17150f",
    "ok": "#7cc7a0",
    "ok_soft": "#26352b",
    "warn": "#e3b35a",
    "warn_soft": "#3a3019",
    "calm": "#302c23",
    "shade": "#000000",
}


class Theme(EventDispatcher):  # type: ignore[misc]  # kivy has no types
    """One colour a name; changing the appearance changes them all at once."""

    dark = BooleanProperty(False)
    paper = ColorProperty(LIGHT["paper"])
    card = ColorProperty(LIGHT["card"])
    card_ended = ColorProperty(LIGHT["card_ended"])
    ink = ColorProperty(LIGHT["ink"])
    soft = ColorProperty(LIGHT["soft"])
    line = ColorProperty(LIGHT["line"])
    brand = ColorProperty(LIGHT["brand"])
    brand_soft = ColorProperty(LIGHT["brand_soft"])
    brand_line = ColorProperty(LIGHT["brand_line"])
    against_brand = ColorProperty(LIGHT["against_brand"])
    ok = ColorProperty(LIGHT["ok"])
    ok_soft = ColorProperty(LIGHT["ok_soft"])
    warn = ColorProperty(LIGHT["warn"])
    warn_soft = ColorProperty(LIGHT["warn_soft"])
    calm = ColorProperty(LIGHT["calm"])
    shade = ColorProperty(LIGHT["shade"])

    def use(self, appearance: Appearance) -> None:
        """Light, dark, or what the system says."""
        self.dark = _system_is_dark() if appearance == "system" else appearance == "dark"
        for name, colour in (DARK if self.dark else LIGHT).items():
            setattr(self, name, colour)


def _system_is_dark() -> bool:
    """Android tells; elsewhere there is no one way to ask, so: light."""
    if not is_android():
        return False
    jnius: Any = importlib.import_module("jnius")
    activity = jnius.autoclass("org.kivy.android.PythonActivity").mActivity
    configuration = jnius.autoclass("android.content.res.Configuration")
    night = activity.getResources().getConfiguration().uiMode & configuration.UI_MODE_NIGHT_MASK
    return bool(night == configuration.UI_MODE_NIGHT_YES)

"""A small line drawing in one colour. No image files: sharp at every size."""

from kivy.graphics import Color, SmoothLine
from kivy.metrics import dp
from kivy.properties import ColorProperty, NumericProperty, StringProperty
from kivy.uix.widget import Widget

from .drawings import DRAWINGS


class Icon(Widget):  # type: ignore[misc]  # kivy has no types
    """One of `DRAWINGS`, as large as the widget's smaller side."""

    name = StringProperty("check")
    padding = NumericProperty(0)
    color = ColorProperty("#000000")

    def __init__(self, **more: object) -> None:
        super().__init__(**more)
        self.bind(name=self._draw, padding=self._draw, color=self._draw, pos=self._draw, size=self._draw)

    def _draw(self, *_: object) -> None:
        unit = (min(self.size) - 2 * self.padding) / 24
        left, top = self.center_x - 12 * unit, self.center_y + 12 * unit
        self.canvas.clear()
        with self.canvas:
            Color(*self.color)
            for stroke in DRAWINGS[self.name]:
                if isinstance(stroke, tuple):
                    x, y, radius = stroke
                    SmoothLine(circle=(left + x * unit, top - y * unit, radius * unit), width=dp(0.9))
                else:
                    points = [top - v * unit if at % 2 else left + v * unit for at, v in enumerate(stroke)]
                    SmoothLine(points=points, width=dp(0.9))

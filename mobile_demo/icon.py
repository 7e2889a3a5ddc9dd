"""Small line drawings on a field of 24 by 24, stroked in one colour. No image files, sharp at every size."""

from kivy.graphics import Color, SmoothLine
from kivy.metrics import dp
from kivy.properties import ColorProperty, NumericProperty, StringProperty
from kivy.uix.widget import Widget

# A drawing is a list of strokes; a stroke is points x, y, x, y, … with y downwards, or a circle (x, y, radius).
_PHONE = [[8, 3, 16, 3, 17, 4, 17, 20, 16, 21, 8, 21, 7, 20, 7, 4, 8, 3], (12, 17.6, 0.5)]
_LAPTOP = [[5, 5, 19, 5, 19, 15, 5, 15, 5, 5], [3, 19, 21, 19]]
_HANGER = [
    [10.2, 7.6, 10.6, 6.4, 12, 5.8, 13.4, 6.6, 13.6, 8, 12, 9.6, 12, 11],
    [12, 11, 20.5, 16.4, 20, 18, 4, 18, 3.5, 16.4, 12, 11],
]
DRAWINGS: dict[str, list[list[float] | tuple[float, float, float]]] = {
    "phone": _PHONE,  # type: ignore[dict-item]
    "laptop": _LAPTOP,  # type: ignore[dict-item]
    "hanger": _HANGER,  # type: ignore[dict-item]
    "check": [[5, 12.5, 10, 17.5, 19, 7]],
    "alert": [[12, 4, 21, 19.5, 3, 19.5, 12, 4], [12, 10, 12, 14.4], (12, 16.9, 0.5)],
    "enter": [[13, 4, 19, 4, 19, 20, 13, 20], [4, 12, 14, 12], [10.5, 8.5, 14, 12, 10.5, 15.5]],
    "leave": [[11, 4, 5, 4, 5, 20, 11, 20], [10, 12, 20, 12], [16.5, 8.5, 20, 12, 16.5, 15.5]],
    "key": [(8, 15.5, 4), [11, 12.5, 20, 4], [16, 8, 19, 11]],
    "pencil": [[5, 19, 6, 15, 16, 5, 19, 8, 9, 18, 5, 19], [14, 7, 17, 10]],
    "refresh": [
        [
            19,
            12,
            18.1,
            15.5,
            15.5,
            18.1,
            12,
            19,
            8.5,
            18.1,
            5.9,
            15.5,
            5,
            12,
            5.9,
            8.5,
            8.5,
            5.9,
            12,
            5,
            15.5,
            5.9,
            18.6,
            9,
        ],
        [18.8, 4.6, 18.8, 9.2, 14.2, 9.2],
    ],
    "eye": [[3, 12, 6.5, 8, 12, 6, 17.5, 8, 21, 12, 17.5, 16, 12, 18, 6.5, 16, 3, 12], (12, 12, 2.6)],
    "back": [[14.5, 5, 7.5, 12, 14.5, 19]],
}


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

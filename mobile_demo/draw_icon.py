"""Draws the app's icon, a ticket with a hanger, as icon.png: `python -m mobile_demo.draw_icon`. No image library."""

import struct
import zlib
from itertools import pairwise
from math import hypot
from pathlib import Path

from .drawings import DRAWINGS

SIZE = 256
PAPER, BRAND, CARD = (246, 242, 234), (140, 47, 57), (255, 253, 248)
_WIDTH, _HEIGHT, _RADIUS, _BITE = 184.0, 144.0, 22.0, 21.0  # of the ticket, in pixels
_SCALE, _STROKE = 4.9, 4.4  # of the hanger

Point = tuple[float, float]


def icon() -> bytes:
    """The PNG file."""
    rows = b"".join(b"\0" + bytes(part for x in range(SIZE) for part in _pixel(x + 0.5, y + 0.5)) for y in range(SIZE))
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, *zip(*chunks, strict=True)))


def _pixel(x: float, y: float) -> tuple[int, ...]:
    x, y = x - SIZE / 2, y - SIZE / 2
    colour = _mix(PAPER, BRAND, 0.5 - _ticket(x, y))
    return _mix(colour, CARD, 0.5 + _STROKE - _hanger(x, y)) if abs(x) < 60 and abs(y) < 50 else colour


def _ticket(x: float, y: float) -> float:
    """Distance to the ticket's edge, negative inside: a rounded rectangle with a bite at either side."""
    dx, dy = abs(x) - _WIDTH / 2 + _RADIUS, abs(y) - _HEIGHT / 2 + _RADIUS
    rectangle = hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - _RADIUS
    return max(rectangle, _BITE - hypot(abs(x) - _WIDTH / 2, y))


def _segments() -> list[tuple[Point, Point]]:
    found = []
    for stroke in DRAWINGS["hanger"]:
        points = [((x - 12) * _SCALE, (y - 12) * _SCALE) for x, y in zip(stroke[::2], stroke[1::2], strict=True)]
        found += list(pairwise(points))
    return found


_HANGER = _segments()


def _hanger(x: float, y: float) -> float:
    return min(_distance(x, y, start, end) for start, end in _HANGER)


def _distance(x: float, y: float, start: Point, end: Point) -> float:
    """To a line from `start` to `end`."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    length = along_x**2 + along_y**2
    at = max(0.0, min(1.0, ((x - start[0]) * along_x + (y - start[1]) * along_y) / length))
    return hypot(x - start[0] - at * along_x, y - start[1] - at * along_y)


def _mix(below: tuple[int, ...], above: tuple[int, ...], share: float) -> tuple[int, ...]:
    share = max(0.0, min(1.0, share))
    return tuple(round(one + (other - one) * share) for one, other in zip(below, above, strict=True))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    Path(__file__).with_name("icon.png").write_bytes(icon())

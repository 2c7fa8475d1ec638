"""Shapes to draw bodies with: ellipsoids, strings of balls, soft noise. Lengths in mm; x to the left, y to the back, z to the head."""

from dataclasses import dataclass
from itertools import pairwise
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Balls = NDArray[np.float64]  # rows of x, y, z, radius, value

Ellipsoid = tuple[float, float, float, float, float, float, float]  # centre x, y, z, radii x, y, z, value


@dataclass
class Plane:
    """A picture on which later shapes cover earlier ones. Edges are soft by one pixel, as partial volumes are."""

    pixels: Image
    spacing: float

    @classmethod
    def blank(cls, size: int, field: float, value: float) -> "Plane":
        return cls(np.full((size, size), value, np.float32), field / size)

    def ellipse(self, x: float, y: float, rx: float, ry: float, value: float | Image, turn: float = 0.0, power: float = 2.0) -> None:
        size, reach = len(self.pixels), max(rx, ry) + self.spacing
        middle = size / 2 - 0.5
        left, right = within(x - reach, x + reach, size, self.spacing, middle)
        top, bottom = within(y - reach, y + reach, size, self.spacing, middle)
        if left >= right or top >= bottom or min(rx, ry) <= 0:
            return
        dx = ((np.arange(left, right, dtype=np.float32) - middle) * self.spacing - x)[None, :]
        dy = ((np.arange(top, bottom, dtype=np.float32) - middle) * self.spacing - y)[:, None]
        if turn:
            dx, dy = cos(turn) * dx + sin(turn) * dy, cos(turn) * dy - sin(turn) * dx
        if power == 2.0:
            far = np.sqrt((dx / rx) ** 2 + (dy / ry) ** 2)
        else:
            far = (np.abs(dx / rx) ** power + np.abs(dy / ry) ** power) ** (1 / power)
        cover = np.minimum(np.maximum((1 - far) * (min(rx, ry) / self.spacing) + 0.5, 0), 1)
        part = self.pixels[top:bottom, left:right]
        part += cover * ((value[top:bottom, left:right] if isinstance(value, np.ndarray) else value) - part)

    def ellipsoid(self, shape: Ellipsoid, z: float, texture: Image | float = 0.0, grow: float = 0.0) -> None:
        """The cut of an ellipsoid at height z."""
        x, y, middle, rx, ry, rz, value = shape
        inside = 1 - ((z - middle) / (rz + grow)) ** 2
        if inside > 0:
            scale = inside**0.5
            self.ellipse(x, y, (rx + grow) * scale, (ry + grow) * scale, value + texture)

    def balls(self, balls: Balls, z: float, value: float | None = None) -> None:
        """The cut of many balls: vessels and airways are strings of them."""
        for x, y, middle, radius, own in balls[np.abs(balls[:, 2] - z) < balls[:, 3]].tolist():
            cut = max((radius**2 - (z - middle) ** 2) ** 0.5, 0.4 * self.spacing)
            self.ellipse(x, y, cut, cut, own if value is None else value)


def within(start: float, end: float, size: int, spacing: float, middle: float) -> tuple[int, int]:
    """The pixels that lie between two places on an axis whose 0 is at pixel `middle`."""
    first, last = (max(0, min(size, int(place / spacing + middle + 1))) for place in (start, end))
    return first, last


def smooth(image: Image, times: int = 1) -> Image:
    """Blurs by a 3 × 3 binomial kernel, `times` over."""
    for _ in range(times):
        for axis in (0, 1):
            image = (0.5 * image + 0.25 * (np.roll(image, 1, axis) + np.roll(image, -1, axis))).astype(np.float32)
    return image


def cloud(random: np.random.Generator, size: int, grain: int) -> Image:
    """A field of soft patches about `grain` pixels wide, mean 0, deviation 1."""
    coarse = random.standard_normal((size // grain + 3, size // grain + 3)).astype(np.float32)
    at = np.arange(size) / grain
    low, part = at.astype(int), (at % 1).astype(np.float32)
    part = part * part * (3 - 2 * part)
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    field = rows[:, low] * (1 - part)[None, :] + rows[:, low + 1] * part[None, :]
    return ((field - field.mean()) / field.std()).astype(np.float32)


def tree(
    random: np.random.Generator,
    root: tuple[float, float, float],
    aim: tuple[float, float, float],
    radius: float,
    length: float,
    value: float,
) -> Balls:
    """Vessels that fork and thin out, from a root in a direction."""
    balls: list[NDArray[np.float64]] = []

    def grow(start: NDArray[np.float64], heading: NDArray[np.float64], radius: float, length: float) -> None:
        count = max(2, int(length / 0.9))
        bend = random.normal(0, 0.25, 3)
        along = np.linspace(0, 1, count)[:, None]
        path = start + length * along * (heading + bend * along * 0.5)
        width = radius * (1 - 0.25 * along)
        balls.append(np.hstack([path, width, np.full((count, 1), value)]))
        if radius < 0.7:
            return
        for _ in range(2):
            turned = heading + random.normal(0, 0.5, 3)
            grow(path[-1], turned / np.linalg.norm(turned), radius * random.uniform(0.68, 0.84), length * random.uniform(0.72, 0.95))

    heading = np.array(aim, float)
    grow(np.array(root, float), heading / np.linalg.norm(heading), radius, length)
    return np.vstack(balls)


def tube(points: list[tuple[float, float, float]], radius: float, value: float) -> Balls:
    """A tube of even width through points."""
    rows = []
    for start, end in pairwise(points):
        steps = max(2, int(np.linalg.norm(np.subtract(end, start)) / 1.2))
        rows += [(*(np.add(start, np.subtract(end, start) * at)), radius, value) for at in np.linspace(0, 1, steps)]
    return np.array(rows)

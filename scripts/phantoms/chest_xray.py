"""A chest on an X-ray plate."""

from collections.abc import Callable

import numpy as np

from .shapes import Balls, Image, cloud, smooth, tree, within

XRAY_WIDTH = 340.0
XRAY_HEIGHT = 400.0

# What lies in the middle of the chest: centre x, y, radii x, y, thickness; powers of 2.
_MIDDLE = (
    (26, 232, 58, 46, 82),  # left heart
    (8, 214, 50, 54, 76),
    (-16, 224, 32, 42, 66),  # right heart
    (24, 124, 18, 19, 40),  # arch of the aorta
    (22, 160, 24, 34, 46),
    (4, 150, 30, 130, 44),  # great vessels
    (14, 220, 26, 130, 36),
)


def chest_xray(random: np.random.Generator, rows: int, columns: int) -> Image:
    """A chest from the front, x-rays passing from the back; brightness 0…1 rises with what they passed. `XRAY_WIDTH` × `XRAY_HEIGHT`."""
    coarse = _chest_shadow(random, rows // 2, columns // 2)
    bright = smooth(np.repeat(np.repeat(coarse, 2, 0), 2, 1))  # the focus is not finer than that
    bright = bright + random.standard_normal(bright.shape, np.float32) * (0.004 + 0.008 * bright)
    return np.clip(bright * 1.08 - 0.1, 0, 1).astype(np.float32)


def _chest_shadow(random: np.random.Generator, rows: int, columns: int) -> Image:
    scale = XRAY_WIDTH / columns
    x = ((np.arange(columns) - columns / 2 + 0.5) * scale).astype(np.float32)[None, :]
    y = ((np.arange(rows) + 0.5) * XRAY_HEIGHT / rows).astype(np.float32)[:, None]

    def bulk(cx: float, cy: float, rx: float, ry: float, depth: float, power: float = 2.0) -> Image:
        return (depth * np.clip(1 - np.abs((x - cx) / rx) ** power - np.abs((y - cy) / ry) ** power, 0, None) ** 0.5).astype(np.float32)

    def strung(balls: Balls) -> Image:
        """The thickness of strings of balls; where they overlap, of the thickest."""
        out = np.zeros((rows, columns), np.float32)
        for bx, by, _, radius, weight in balls.tolist():
            left, right = within(bx - radius, bx + radius, columns, scale, columns / 2)
            top, bottom = within(by - radius, by + radius, rows, XRAY_HEIGHT / rows, 0.0)
            if left < right and top < bottom:
                part = out[top:bottom, left:right]
                dx, dy = x[:, left:right] - bx, y[top:bottom] - by
                np.maximum(part, 2 * weight * np.sqrt(np.maximum(radius**2 - dx**2 - dy**2, 0)), out=part)
        return out

    shoulder = np.clip((y + 34) / 95, 0, 1)
    width = 58 + 118 * shoulder * shoulder * (3 - 2 * shoulder) - 16 * np.clip((y - 140) / 120, 0, 1)
    passed = 190 * np.clip(1 - np.abs(x / width) ** 2.6, 0, None) ** 0.5
    middle = np.maximum.reduce([bulk(*shape) for shape in _MIDDLE]) ** 1.6 / 12  # rounder edges than an ellipsoid has
    for side, floor in ((-1, 258.0), (1, 270.0)):
        dome = floor + 34 * np.abs((x - side * 62) / 66) ** 2.6 - 4 * np.cos(x / 30)
        air = np.clip((dome - y) / 1.6 + 0.5, 0, 1)
        passed -= 0.72 * bulk(side * 79, 184, 63, 138, 160, 2.4) ** 0.86 * 2 * air
        passed += bulk(side * 80, 262, 56, 50, 9) ** 1.3
    passed += middle
    passed -= strung(np.array([(2.0 + 0.02 * at, at, 0, 8.5, 0.8) for at in np.arange(0, 128, 1.0)]))
    passed -= strung(np.array([(side * at * 0.8 + 3, 128 + at * 0.75, 0, 6, 0.6) for side in (-1, 1) for at in np.arange(0, 36, 1.0)]))
    passed -= bulk(58, 298, 28, 13, 40) ** 1.2  # gas in the stomach
    trees = [
        tree(random, (side * 30, 165, 0), (side * abs(aim[0]), aim[1], 0.2 * aim[2]), 4.4, 30, 1.3)
        for side in (-1, 1)
        for aim in random.normal((0.8, 0.25, 0), (0.3, 0.75, 1), (13, 3))
    ]
    passed += strung(np.vstack(trees))
    passed += _bones(x, y, strung)
    for grain in (5, 20, 80):
        passed += 0.6 * np.sqrt(grain / 5) * _cloud_on(random, rows, columns, max(2, grain * columns // 850))
    bright = 1 - np.exp(-np.clip(passed, 0, None) / 125)
    bright += 0.5 * (bright - _blurred(bright, max(2, columns // 70)))
    letter = (np.abs(x - 146) < 1.6) & (np.abs(y - 26) < 8) | (np.abs(x - 150) < 5) & (np.abs(y - 33) < 1.6)  # L, in lead
    return np.where(letter, np.float32(0.97), bright).astype(np.float32)


def _blurred(image: Image, step: int) -> Image:
    """A wide blur: the mean of blocks, stretched again."""
    rows, columns = image.shape
    blocks = image[: rows - rows % step, : columns - columns % step].reshape(rows // step, step, columns // step, step).mean((1, 3))
    down, over = (
        np.clip((np.arange(count) + 0.5) / step - 0.5, 0, len_ - 1.001) for count, len_ in ((rows, len(blocks)), (columns, blocks.shape[1]))
    )
    part = (down % 1).astype(np.float32)[:, None]
    tall = blocks[down.astype(int)] * (1 - part) + blocks[down.astype(int) + 1] * part
    part = (over % 1).astype(np.float32)[None, :]
    return tall[:, over.astype(int)] * (1 - part) + tall[:, over.astype(int) + 1] * part


def _cloud_on(random: np.random.Generator, rows: int, columns: int, grain: int) -> Image:
    return cloud(random, max(rows, columns), grain)[:rows, :columns]


def _bones(x: Image, y: Image, strung: Callable[[Balls], Image]) -> Image:
    """Spine, ribs and collar bones, as thickness of soft tissue that would weaken the rays as much."""
    phase = (y - 6) % 27
    body = np.clip((phase - 1) / 1.5, 0, 1) * np.clip((24 - phase) / 1.5, 0, 1)
    half = 16.5 + 0.9 * np.cos(phase / 24 * 2 * np.pi)
    bone = (9 + 12 * body) * np.clip((half - np.abs(x)) / 2.4 + 0.5, 0, 1)
    bone = (
        bone
        + 4 * np.exp(-((((np.abs(x) - 9) / 3) ** 2 + ((phase - 8) / 4) ** 2) ** 2))
        + 7 * np.exp(-(((x / 3) ** 2 + ((phase - 20) / 6) ** 2) ** 2))
    )
    turns = np.linspace(1.42, -1.0, 420)
    for number in range(10):
        reach = 134 - 62 * np.exp(-number / 1.7) - (3 if number > 7 else 0)
        drop = 62 + 7 * min(number, 6)
        sunk = 50 + number * 23 + drop * (1.42 - turns) / 2.42 - 16 * np.cos(turns) ** 2
        fade = np.clip((turns + 1.0) / 0.25, 0.25, 1) * (1.5 - 0.4 * (turns < 0))  # in front they end in cartilage
        for side in (-1, 1):
            path = [side * reach * np.cos(turns), sunk, 0 * turns]
            bone = bone + strung(np.column_stack([*path, np.full(420, 6.8), 1.35 * fade]))
            bone = bone - strung(np.column_stack([*path, np.full(420, 5.6), 1.1 * fade]))
    for side in (-1, 1):
        at = np.linspace(0, 1, 260)
        path = [side * (14 + 140 * at), 86 - 40 * at + 9 * np.sin(at * 6.0), 0 * at]
        bone = bone + strung(np.column_stack([*path, 6.4 - 1.4 * np.sin(at * np.pi), np.full(260, 1.7)]))
        bone = bone - strung(np.column_stack([*path, 4.6 - 1.4 * np.sin(at * np.pi), np.full(260, 1.1)]))
    return bone.astype(np.float32)

"""A chest and upper abdomen in CT after contrast agent."""

from collections.abc import Iterator

import numpy as np

from .shapes import Balls, Ellipsoid, Image, Plane, cloud, smooth, tree, tube

CT_FIELD = 400.0
CT_LENGTH = 200.0

# Chest and upper abdomen after contrast agent, in Hounsfield units. Order counts: later ones cover earlier ones.
_DOMES: tuple[Ellipsoid, ...] = ((-66, 2, 30, 72, 86, 68, -95), (66, 4, 25, 70, 84, 60, -95))
_ABDOMEN: tuple[Ellipsoid, ...] = (
    (-66, 0, 30, 70, 82, 67.5, 108),  # liver
    (-8, -40, 60, 58, 30, 30, 108),
    (98, 34, 52, 26, 44, 40, 122),  # spleen
    (58, -30, 48, 50, 36, 44, 60),  # stomach: wall, then content
    (58, -30, 48, 46, 32, 40, 22),
    (-60, 56, 2, 37, 33, 62, -98),  # fat around the kidneys
    (62, 58, 12, 37, 33, 62, -98),
    (-60, 56, 4, 28, 25, 52, 185),  # kidneys: cortex, medulla, sinus
    (-58, 54, 4, 19, 17, 42, 130),
    (-50, 51, 2, 11, 9, 28, -70),
    (66, 56, 12, 29, 25, 52, 185),
    (64, 54, 12, 20, 17, 42, 130),
    (56, 52, 10, 11, 9, 28, -70),
    (12, -8, 22, 46, 11, 13, 95),  # pancreas
    (-46, -52, 14, 15, 19, 26, 8),  # gall bladder
    (-92, 22, 40, 7, 7, 7, 6),  # a small cyst of the liver
)
_HEART: tuple[Ellipsoid, ...] = (
    (14, -24, 104, 56, 46, 46, -70),  # fat around it
    (16, -24, 106, 52, 42, 42, 85),  # muscle
    (34, -12, 104, 25, 22, 30, 150),  # chambers
    (-2, -40, 104, 26, 17, 30, 165),
    (-16, -14, 118, 20, 20, 22, 160),
    (14, 10, 122, 28, 15, 18, 150),
)
_VESSELS = np.vstack(
    [
        tube(
            [(8, 38, -10), (14, 40, 60), (24, 46, 120), (26, 44, 168), (16, 20, 180), (-4, -14, 176), (-10, -24, 160), (-8, -22, 130)],
            12.5,
            170,
        ),
        tube([(-22, 22, -10), (-24, 20, 70), (-22, -4, 112)], 11, 140),
        tube([(-26, -18, 210), (-26, -16, 125)], 8.5, 190),
        tube([(6, -26, 130), (4, -14, 150), (-22, 4, 146)], 12, 165),
        tube([(4, -14, 150), (32, 14, 152)], 11, 165),
        tube([(10, -8, 178), (14, -6, 212)], 5, 170),
        tube([(2, -16, 176), (-8, -14, 212)], 6, 170),
        tube([(-6, 4, 24), (-34, 0, 46), (-58, -4, 52)], 6.5, 155),
    ]
)
_AIRWAYS = np.vstack(
    [
        tube([(-2, 10, 214), (-2, 20, 158)], 8.5, -990),
        tube([(-2, 20, 158), (-34, 22, 136)], 6.2, -985),
        tube([(-2, 20, 158), (34, 24, 134)], 5.8, -985),
    ]
)


def chest_ct(random: np.random.Generator, slices: int, size: int) -> Iterator[Image]:
    """Axial slices from the abdomen upward, in HU, `CT_FIELD` mm wide, evenly over `CT_LENGTH` mm."""
    lungs = [
        tree(random, (side * 30, 18, 140), (side * abs(aim[0]), aim[1], aim[2]), 4.0, 24, 40)
        for side in (-1, 1)
        for aim in random.normal((0.9, 0, 0), (0.3, 0.7, 0.8), (11, 3))
    ]
    vessels = np.vstack(lungs)
    liver = np.vstack(
        [tree(random, (-40, 0, 50), aim, 4.2, 22, 158) for aim in ((-1, -0.6, 0.2), (-1, 0.7, -0.3), (-0.5, 0.2, 1), (0.6, -1, 0.3))]
    )
    bowel = [
        (random.uniform(-90, 100), random.uniform(-62, -20), random.uniform(-12, 22), random.uniform(11, 17), random.random())
        for _ in range(22)
    ]
    clouds = [cloud(random, size, max(2, size // 40)) for _ in range(2)]
    grains = [smooth(random.standard_normal((size, size)).astype(np.float32)) for _ in range(2)]
    across = np.linspace(-1, 1, size)
    seen = np.hypot(across[None, :], across[:, None]) <= 1
    for z in np.arange(slices) * (CT_LENGTH / slices):
        turn = z / 14
        soft = clouds[0] * np.float32(np.cos(turn)) + clouds[1] * np.float32(np.sin(turn))
        grain = grains[0] * np.float32(np.cos(turn * 3)) + grains[1] * np.float32(np.sin(turn * 3))
        plane = Plane.blank(size, CT_FIELD, -1000)
        _couch(plane)
        _trunk(plane, z, soft)
        _lungs(plane, z, soft, vessels)
        _abdomen(plane, z, soft, liver, bowel)
        _mediastinum(plane, z, soft)
        _spine(plane, z, grain)
        _ribs(plane, z, grain)
        noise = smooth(random.standard_normal((size, size), np.float32))
        yield np.where(seen, smooth(plane.pixels) + 26 * noise, np.float32(-1024))


def _couch(plane: Plane) -> None:
    plane.ellipse(0, -12, 206, 142, -380, power=2.6)  # a mat, and the shell below it
    plane.ellipse(0, -12, 204.5, 140.5, -930, power=2.6)
    plane.ellipse(0, -16, 200, 136, -1000, power=2.6)
    plane.pixels[: int(len(plane.pixels) * 0.68)] = -1000
    plane.ellipse(0, 152, 150, 15, -400, power=4)
    plane.ellipse(0, 152, 148.4, 13.4, -940, power=4)


def _trunk(plane: Plane, z: float, soft: Image) -> None:
    wide = 168 - 7 * np.cos(z / 60) + 4 * np.sin(z / 30)
    deep = 116 - 4 * np.cos(z / 70)
    plane.ellipse(0, 0, wide, deep, 20, power=2.35)  # skin, fat, muscle, fat within
    plane.ellipse(0, 0, wide - 2, deep - 2, -105 + 5 * soft, power=2.35)
    plane.ellipse(0, 2, wide - 15, deep - 14, 58 + 5 * soft, power=2.35)
    plane.ellipse(0, 1, wide - 23, deep - 23, -92, power=2.3)
    for side in (-1, 1):
        plane.ellipse(side * 33, 86, 28, 17, 60 + 5 * soft)
        plane.ellipse(side * 31, 62, *np.multiply((15, 18), min(1, max(0, 70 - z) / 50)), 58 + 5 * soft)
        if z > 120:
            fade = min(1, (z - 120) / 25)
            plane.ellipse(side * 72, -86, 52 * fade, 13 * fade, 58 + 6 * soft, turn=side * 0.35)
            plane.ellipse(side * 104, 72, 44 * fade, 15 * fade, 58 + 6 * soft, turn=-side * 0.75)
            plane.ellipse(side * 100, 70, 38 * fade, 3.4, 480, turn=-side * 0.75)


def _lung(z: float) -> tuple[float, float]:
    """Radii of a lung at height z."""
    if z < 34:
        return 0, 0
    scale = (1 - (max(0.0, z - 88) / 150) ** 2) ** 0.5 * min(1.0, ((z - 34) / 40) ** 0.25)
    return 55 * scale, 84 * scale


def _lungs(plane: Plane, z: float, soft: Image, vessels: Balls) -> None:
    rx, ry = _lung(z)
    if not rx:
        return
    slope = np.linspace(-30, 45, len(plane.pixels), dtype=np.float32)[:, None]
    for side in (-1, 1):
        plane.ellipse(side * 73, 2, rx + 1.6, ry + 1.6, 35, power=2.2)
        plane.ellipse(side * 73, 2, rx, ry, -865 + slope + 9 * soft, power=2.2)
    near = vessels[np.abs(vessels[:, 2] - z) < vessels[:, 3]]
    inside = ((np.abs(near[:, 0]) - 73) / max(rx - 2, 1)) ** 2 + ((near[:, 1] - 2) / max(ry - 2, 1)) ** 2 < 1
    plane.balls(near[inside | (np.abs(near[:, 0]) < 45) & (np.abs(near[:, 1]) < 40)], z)


def _abdomen(plane: Plane, z: float, soft: Image, liver: Balls, bowel: list[tuple[float, float, float, float, float]]) -> None:
    for dome in _DOMES:
        lifted = (*dome[:2], max(dome[2], z) if z < dome[2] else dome[2], *dome[3:])
        plane.ellipsoid((*lifted[:6], 50), z, grow=1.6)  # the diaphragm
        plane.ellipsoid(lifted, z, 4 * soft)
    if z > 100:
        return
    for x, y, middle, radius, gas in bowel:
        plane.ellipsoid((x, y, middle, radius + 2.5, radius + 2.5, radius + 6, 65), z)
        plane.ellipsoid((x, y, middle, radius, radius, radius + 3, 18 if gas < 0.7 else -940), z)
    for number, shape in enumerate(_ABDOMEN):
        plane.ellipsoid(shape, z, 4 * soft)
        if number == 1:
            near = liver[np.abs(liver[:, 2] - z) < liver[:, 3]]
            plane.balls(near[((near[:, 0] + 66) / 60) ** 2 + (near[:, 1] / 74) ** 2 + ((near[:, 2] - 28) / 58) ** 2 < 1], z)
    if abs(z - 48) < 30:  # gas floats on what is in the stomach
        level = ((30**2 - (z - 48) ** 2) ** 0.5) / 30
        plane.ellipse(58, -47, 36 * level, 13 * level, -960)


def _mediastinum(plane: Plane, z: float, soft: Image) -> None:
    for shape in _HEART:
        plane.ellipsoid(shape, z, 3 * soft)
    plane.ellipse(4, 34, 8, 6, 38)  # oesophagus
    plane.ellipse(4, 33, 2.2, 1.4, -400)
    wall = _AIRWAYS.copy()
    wall[:, 3] += 1.8
    plane.balls(wall, z, 40)
    plane.balls(_VESSELS, z)
    plane.balls(_AIRWAYS, z)


def _spine(plane: Plane, z: float, grain: Image) -> None:
    phase = z % 30
    disc = phase < 5
    waist = 1 - 0.09 * np.sin(np.pi * (phase - 5) / 25) if not disc else 1.0
    plane.ellipse(0, 62, 20 * waist, 16 * waist, 95 if disc else 560, power=2.3)
    if not disc:
        plane.ellipse(0, 62, 20 * waist - 1.6, 16 * waist - 1.6, (430 if phase < 7 or phase > 28 else 215) + 60 * grain, power=2.3)
    for side in (-1, 1):
        if 9 < phase < 24:
            plane.ellipse(side * 13, 80, 5, 9, 480 + 60 * grain, turn=-side * 0.3)
            plane.ellipse(side * 27, 86, 15, 5, 420 + 60 * grain, turn=side * 0.5)
        else:
            plane.ellipse(side * 14, 86, 6, 7, 520 + 60 * grain)
    plane.ellipse(0, 97, 13, 5, 500 + 50 * grain)
    plane.ellipse(0, 86, 10.5, 9, -20)  # the canal: fat, fluid, cord
    plane.ellipse(0, 85.5, 8.5, 7.5, 12)
    plane.ellipse(0, 85.5, 5.5, 4.2, 40)
    if phase < 20:
        plane.ellipse(0, 106, 3.4, 11, 470 + 50 * grain)
    if z > 84:
        plane.ellipse(0, -91, 19, 6.5, 480)
        plane.ellipse(0, -91, 17.4, 5, 170 + 40 * grain)


def _ribs(plane: Plane, z: float, grain: Image) -> None:
    """Each rib runs from the spine around the side and sinks 95 mm on its way."""
    for start in range(40, 340, 26):
        along = (start - z) / 95
        if not 0 < along < 1:
            continue
        angle = np.pi * (0.43 - 0.86 * along)  # from the back to the front
        for side in (-1, 1):
            rx, ry = 139.5, 91.5
            x, y = side * rx * np.cos(angle), ry * np.sin(angle) + 1
            turn = np.arctan2(ry * np.cos(angle), -side * rx * np.sin(angle))
            long = 8 + 13 * abs(np.sin(angle)) ** 2
            cartilage = along > 0.86
            plane.ellipse(x, y, long, 5.2, 110 if cartilage else 640, turn=turn)
            if not cartilage:
                plane.ellipse(x, y, long - 1.8, 3.4, 260 + 60 * grain, turn=turn)

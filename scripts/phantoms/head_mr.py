"""A head in MR, T1- and T2-weighted."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .shapes import Image, Plane, smooth

HEAD_FIELD = 240.0
HEAD_LENGTH = 110.0

# Signal of each tissue: T1-weighted, T2-weighted.
_TISSUE = {
    "scalp": (0.88, 0.6),
    "muscle": (0.42, 0.24),
    "bone": (0.05, 0.06),
    "fluid": (0.14, 1.0),
    "grey": (0.52, 0.6),
    "white": (0.74, 0.42),
}


def head_mr(random: np.random.Generator, slices: int, size: int, weighting: int) -> Iterator[Image]:
    """Axial slices of a head, upward, signal 0…1. `weighting`: 0 is T1, 1 is T2; the same `random` gives the same head."""
    signal = {tissue: values[weighting] for tissue, values in _TISSUE.items()}
    waves = random.normal(0, 0.15, (26, 3)), random.uniform(0, 2 * np.pi, 26)
    across = ((np.arange(size) - size / 2 + 0.5) * HEAD_FIELD / size).astype(np.float32)
    x, y = across[None, :], across[:, None]
    for number in range(slices):
        z = (number / slices - 0.42) * HEAD_LENGTH
        plane = Plane.blank(size, HEAD_FIELD, 0.0)
        cut = max(0.0, 1 - (max(z, 0) / 88) ** 2 - (min(z, 0) / 120) ** 2) ** 0.5
        plane.ellipse(0, 0, 77 * cut + 3, 95 * cut + 3, signal["scalp"], power=2.15)
        plane.ellipse(0, 0, 74 * cut + 1, 92 * cut + 1, signal["bone"], power=2.15)
        if z < -8:
            for side in (-1, 1):  # chewing muscles, eyes
                plane.ellipse(side * 62, -30, 9, 24, signal["muscle"])
                plane.ellipse(side * 31, -66, 14, 20, signal["scalp"])
                plane.ellipsoid((side * 31, -72, -22, 12.5, 12.5, 12.5, signal["fluid"]), z)
        plane.ellipse(0, 2, 69 * cut, 86 * cut, signal["fluid" if z > -34 else "muscle"], power=2.1)
        _brain(plane, x, y, z, cut, waves, signal)
        bias = 1 + 0.12 * np.cos(x / 90 + 0.4) * np.cos(y / 110 - 0.3)
        clear = smooth(plane.pixels) * bias
        noise = random.normal(0, 0.018, (2, size, size)).astype(np.float32)
        yield np.hypot(clear + noise[0], noise[1]).astype(np.float32)


def _brain(
    plane: Plane, x: Image, y: Image, z: float, cut: float, waves: tuple[NDArray[np.float64], NDArray[np.float64]], signal: dict[str, float]
) -> None:
    """Cortex, white matter and furrows where a smooth random field is near zero; ventricles and basal ganglia; the cerebellum below."""
    field = np.zeros(plane.pixels.shape, np.float32)
    for (kx, ky, kz), phase in zip(*waves, strict=True):
        field += np.cos(np.abs(x) * np.float32(kx) + y * np.float32(ky) + np.float32(kz * z + phase))
    field = field / 3.6 + 0.25 * np.cos(x / 7 + z / 9)
    far = np.sqrt((x / (67 * cut + 0.1)) ** 2 + ((y - 2) / (84 * cut + 0.1)) ** 2)
    depth = (1 - far) * 70 * cut  # mm below the surface
    furrow = np.exp(-np.maximum(depth, 0) / 15)
    fluid = (np.abs(field) < 0.3 * furrow) & (depth < 24) | (depth < 1.5) | (np.abs(x) < 1.2) & (np.abs(y) > 34)
    grey = (np.abs(field) < 0.3 * furrow + 0.75 * np.exp(-np.maximum(depth, 0) / 18)) & (depth < 28) | (depth < 4.5)
    matter = np.where(fluid, signal["fluid"], np.where(grey, signal["grey"], signal["white"])).astype(np.float32)
    inside = np.clip(depth + 0.5, 0, 1)
    if z > -34:  # below is the face
        plane.pixels += inside * (matter - plane.pixels)
    for side in (-1, 1):
        for shape in (
            (side * 24, -8, 4, 8, 18, 16, signal["grey"]),  # lentiform nucleus
            (side * 13, 12, 6, 9, 13, 12, signal["grey"]),  # thalamus
            (side * 12, -22, 12, 5, 13, 14, signal["grey"]),  # caudate nucleus
            (side * 9, -22, 15, 4.5, 17, 11, signal["fluid"]),  # ventricles
            (side * 10, 4, 22, 5, 30, 9, signal["fluid"]),
            (side * 21, 30, 12, 5, 14, 11, signal["fluid"]),
        ):
            plane.ellipsoid(shape, z)
    plane.ellipsoid((0, 6, 2, 2.2, 14, 11, signal["fluid"]), z)
    if z < -12:
        plane.ellipsoid((0, 46, -36, 46, 33, 26, signal["fluid"]), z)
        leaves = np.where(
            np.abs(np.sin(y / 1.9 + np.abs(x) / 9 + field)) < 0.35, signal["fluid"] * 0.3 + signal["grey"] * 0.7, signal["grey"]
        )
        plane.ellipsoid((0, 46, -36, 44, 31, 25, 0), z, leaves.astype(np.float32))
        for side in (-1, 1):
            plane.ellipsoid((side * 18, 44, -36, 17, 11, 15, signal["white"]), z)
        plane.ellipse(0, 12, 15, 13, signal["white"])  # the stem
        plane.ellipse(0, 26, 7, 4, signal["fluid"])

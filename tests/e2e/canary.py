"""Looks for what must not lie readable on any disk."""

from collections.abc import Iterable, Mapping
from pathlib import Path


def spellings(text: str) -> set[bytes]:
    """A text in every encoding in which it could lie about: with the blanks and hyphens people write it with, and without."""
    forms = {
        text,
        text.lower(),
        text.upper(),
        text.replace(" ", ""),
        text.replace("-", ""),
        text.replace("^", ", "),
        text.replace("^", " "),
    }
    return {form.encode(encoding, errors="ignore") for form in forms for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be")}


def hits(places: Iterable[Path], canaries: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Every file below the places that holds a canary, as "name of the canary in file". Names of files are looked at too."""
    found = []
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            content = str(file).encode() + (file.read_bytes() if file.is_file() else b"")
            found += [f"{name} in {file}" for name, needles in canaries.items() if any(needle in content for needle in needles)]
    return found

"""Writes all vectors anew, the same each time:  python tests/vectors/make.py"""

import shutil

import of_keys
import of_objects
from vector import HERE, Vector


def vectors() -> list[Vector]:
    return [*of_objects.vectors(), *of_keys.vectors()]


if __name__ == "__main__":
    made = vectors()
    for room in {vector.name.partition("/")[0] for vector in made}:
        shutil.rmtree(HERE / room, ignore_errors=True)
        (HERE / room).mkdir()
    for vector in made:
        (HERE / vector.name).write_text(vector.text())

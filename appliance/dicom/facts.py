"""What comes out of the cage. Facts come as JSON and are checked value by value: nobody in there is trusted."""

import json
import math
import types
from dataclasses import asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

TEXT_LIMIT: Final = 1024
"""Characters of one text."""
LIST_LIMIT: Final = 1024
"""Values of one list."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pictures:
    """An instance's pictures as WebP: one of at most 256 pixels, one of at most 1,280; width and height are the larger one's."""

    thumb: bytes
    large: bytes
    width: int
    height: int


def to_json(facts: Any) -> bytes:
    """A dataclass of facts as JSON."""
    return json.dumps(asdict(facts), separators=(",", ":")).encode()


def from_json(kind: type[T], data: bytes) -> T:
    """Read a dataclass of facts back. ValueError if anything in it has another type, size or form than declared."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    checked: T = _check(kind, value)
    return checked


def _check(kind: Any, value: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        if not isinstance(value, dict) or value.keys() != hints.keys():
            raise ValueError(f"not a {kind.__name__}")
        return kind(**{name: _check(hint, value[name]) for name, hint in hints.items()})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _check(next(a for a in arguments if a is not type(None)), value)
    if origin is tuple:
        repeated = arguments[-1] is Ellipsis
        if not isinstance(value, list) or len(value) > LIST_LIMIT or not (repeated or len(value) == len(arguments)):
            raise ValueError("not a list of the right size")
        return tuple(_check(arguments[0] if repeated else arguments[i], item) for i, item in enumerate(value))
    return _check_plain(kind, value)


def _check_plain(kind: type, value: Any) -> Any:
    if issubclass(kind, str) and isinstance(value, str) and len(value) <= TEXT_LIMIT and value.isprintable():
        return kind(value) if issubclass(kind, StrEnum) else value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and type(value) is int and abs(value) < 1 << 53:
        return value
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    raise ValueError(f"not a {kind.__name__}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}

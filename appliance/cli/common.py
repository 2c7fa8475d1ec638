"""What all commands share: how they answer, how they refuse, and as whom they act."""

import json
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from .. import config, log
from ..config import Config
from ..disk.places import USERS, Places, become, users_exist
from ..domain.errors import Code, Problem
from ..keyholder.client import Keyholder

if TYPE_CHECKING:
    from ..app import Appliance

P = ParamSpec("P")
T = TypeVar("T")

EXIT = {Code.INVALID: 2, Code.UNAVAILABLE: 75, Code.NOT_FOUND: 4, Code.CONFLICT: 5, Code.FORBIDDEN: 77, Code.NO_SPACE: 74}
"""Exit status by kind of refusal; 1 for any other. 74, 75 and 77 as in sysexits.h."""


def told(command: Callable[P, T]) -> Callable[P, T]:
    """A refusal is printed as its sentence, not as a trace."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except Problem as problem:
            click.echo(f"bildbrief: {problem}", err=True)
            sys.exit(EXIT.get(problem.code, 1))

    return wrapped


def operator() -> "Appliance":
    """The parts for a command typed by an operator: what the desk may do, as the desk's user."""
    from ..app import Appliance  # here: the supervisor, which runs for months, does not need them in its memory

    found = config.read(os.environ)
    become("desk")
    log.set_up("cli", level=logging.WARNING)
    return Appliance(found, "desk")


def as_keyholder() -> tuple[Config, Places]:
    """The configuration and the directories, for a command that acts as the keyholder's user. They are made if nothing ever ran here.

    Errors: Problem CONFLICT if the keyholder is on another machine.
    """
    found = config.read(os.environ)
    if found.keyholder_address:
        raise Problem(Code.CONFLICT, "The keyholder of this appliance is on another machine. Give this command there.")
    places = Places(found.data_dir, found.key_dir, found.run_dir)
    new = not places.keys.exists() or (users_exist() and places.keys.stat().st_uid != USERS["keyholder"].uid)
    if new:
        places.prepare(users=users_exist())
    become("keyholder")
    log.set_up("cli", level=logging.ERROR)
    return found, places


def keyholder(places: Places) -> Keyholder:
    """The running keyholder, on the operator's own socket."""
    return Keyholder(places.sockets / "operator.sock")


def out(as_json: bool, content: Any, text: str) -> None:
    click.echo(json.dumps(content, ensure_ascii=False) if as_json else text)


as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")

"""`bildbrief study send`: what became of each image, and a line for each reason why one was not sent."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from ..domain.errors import Code, Problem
from ..domain.node import Node
from ..domain.node import node as parse
from .common import as_json, operator, out, told

if TYPE_CHECKING:
    from ..deeds.sending import Sent


@click.command("send")
@click.argument("study_id", metavar="STUDY")
@click.argument("node", metavar="AE@HOST:PORT")
@as_json
@told
def send(study_id: str, node: str, as_json: bool) -> None:
    """Send a study, as it was received, to another DICOM node, such as the PACS; exit status 0 if all of it arrived."""
    to = _node(node)
    sent = operator().sending.send("operator", study_id, to)
    arrived = sum(each.outcome.arrived for each in sent)
    lines = [f"{arrived} of {len(sent)} images sent to {to}", *_why(sent)]
    out(as_json, {"sent": arrived, "images": [_content(each) for each in sent]}, "\n".join(lines))
    sys.exit(0 if arrived == len(sent) else 1)


def _node(text: str) -> Node:
    try:
        return parse(text)
    except ValueError:
        raise Problem(Code.INVALID, "Name the other system as AE@HOST:PORT, for example PACS@192.168.1.20:104.") from None


def _content(sent: "Sent") -> dict[str, Any]:
    outcome = sent.outcome
    return {
        "image": sent.object_id,
        "result": outcome.result,
        "status": _status(outcome.status),
        "reason": outcome.reason,
        "comment": outcome.comment,
    }


def _why(sent: list["Sent"]) -> list[str]:
    """What is to be told of images that were not simply sent: how many, and why."""
    found = Counter((each.outcome.result, each.outcome.reason, each.outcome.status, each.outcome.comment) for each in sent)
    return [
        f"{count:>6} {result}: " + " ".join(part for part in (reason, _status(status), comment and f"“{comment}”") if part)
        for (result, reason, status, comment), count in found.items()
        if reason or status
    ]


def _status(status: int | None) -> str | None:
    return None if status is None else f"{status:04X}H"

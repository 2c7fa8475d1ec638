"""Recovery shares: the master key in words on paper, of which K of N sheets together give it back. Specification: SLIP-0039.

One group, no passphrase: 33 words a share for a key of 32 bytes. Fewer than K shares say nothing about the key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics
from shamir_mnemonic.wordlist import WORDLIST

from ..domain.errors import Code, Problem
from .master.file import SIZE

WORDS: Final = 33
MOST: Final = 16  # SLIP-0039: the number of shares has four bits
_BEGINNING: Final = 4
"""Letters by which each word of the list differs from all others."""

_BY_BEGINNING: Final = {word[:_BEGINNING]: word for word in WORDLIST}
_SIGNS: Final = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One share: number `number` of `count`, of which `needed` give the key back. `mark` is that of its set."""

    words: tuple[str, ...]
    number: int
    count: int
    needed: int
    mark: str

    def __repr__(self) -> str:
        return f"Sheet({self.number} of {self.count}, …)"


def split(key: bytes, plan: str) -> list[Sheet]:
    """The shares of a key, for a plan like "2-of-3". Errors: Problem INVALID for another plan."""
    match = re.fullmatch(r"(\d{1,2})-of-(\d{1,2})", plan)
    needed, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 2 <= needed <= count <= MOST:
        raise Problem(Code.INVALID, "Say how many shares open of how many there are, like 2-of-3: at least 2, of at most 16.")
    (shares,) = generate_mnemonics(1, [(needed, count)], key)
    sheets = [tuple(text.split()) for text in shares]
    return [Sheet(words, number, count, needed, _mark(_share(words))) for number, words in enumerate(sheets, start=1)]


class Gathering:
    """Takes shares one by one until they are enough."""

    def __init__(self) -> None:
        self._shares: list[Share] = []

    @property
    def missing(self) -> int:
        """How many more are needed; before the first one nobody knows: then 1."""
        return self._shares[0].member_threshold - len(self._shares) if self._shares else 1

    def add(self, text: str) -> None:
        """A share as somebody typed it: case, blanks, numbers and signs do not matter, nor what follows a word's fourth letter.

        Errors: Problem INVALID with what to look at again; CONFLICT for a share of another set or one that was given already.
        """
        typed = [word.lower() for word in _SIGNS.findall(text)]
        words = [_BY_BEGINNING.get(word[:_BEGINNING], "") if len(word) >= _BEGINNING else word for word in typed]
        for number, (word, given) in enumerate(zip(words, typed, strict=True), start=1):
            if word not in WORDLIST:
                raise Problem(
                    Code.INVALID, "Word %(number)s, “%(word)s”, is not in the list. Look at the sheet again.", number=number, word=given
                )
        if len(words) != WORDS:
            raise Problem(Code.INVALID, "A share has %(all)s words; these are %(count)s. Type them all.", all=WORDS, count=len(words))
        share = _share(words)
        if self._shares and share.group_parameters() != self._shares[0].group_parameters():
            raise Problem(Code.CONFLICT, "This share belongs to another set than the first. Take sheets with the same mark.")
        if any(share.index == other.index for other in self._shares):
            raise Problem(Code.CONFLICT, "This share was given already. Take another sheet.")
        self._shares.append(share)

    def key(self) -> bytes:
        """The key. Errors: Problem INVALID if the shares are too few or do not give one."""
        try:
            key = bytes(combine_mnemonics([share.mnemonic() for share in self._shares]))
        except MnemonicError as error:
            raise Problem(Code.INVALID, "These shares do not give a key. Start anew, with sheets of one set.") from error
        if len(key) != SIZE:
            raise Problem(Code.INVALID, "These shares do not give a key. Start anew, with sheets of one set.")
        return key


def _share(words: Sequence[str]) -> Share:
    """Errors: Problem INVALID when the checksum is wrong."""
    try:
        return Share.from_mnemonic(" ".join(words))
    except MnemonicError as error:
        raise Problem(
            Code.INVALID, "A word of this share is wrong or stands in another place. Compare it with the sheet, word by word."
        ) from error


def _mark(share: Share) -> str:
    """Tells sets apart at a glance: SLIP-0039's identifier, which every share holds."""
    return f"{share.identifier:04X}"

"""The desk's worklist: all studies in memory, found by whatever a person at the desk knows of a patient.

Names are sealed at rest, so the database cannot search them. The list follows the audit log: only studies about which something
was noted since are read and opened again.
"""

import re
import threading
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from ..domain.errors import Problem
from ..domain.share import Share, ShareState
from ..domain.study import StudyFacts, StudyState, person_name
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import Counts, Registry, SeriesRow, StudyRow
from . import facts

WORDS_LIMIT = 200  # characters of a search looked at
KEYS_AT_ONCE = 5000  # study keys asked for in one call: well below its frame limit

_LIVE = (ShareState.OPEN, ShareState.NOT_YET, ShareState.LOCKED)


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """A study as the desk lists it. Dates as in DICOM (YYYYMMDD), moments in UTC seconds.

    `images` counts instances; `open_shares` those that a reader could use now or later; `opened`: one of them has been.
    """

    study_id: str
    state: StudyState
    patient: str
    birth_date: str
    patient_id: str
    study_date: str
    study_time: str
    modalities: tuple[str, ...]
    description: str
    accession_number: str
    series: int
    images: int
    reports: int
    size: int
    received_at: int
    open_shares: int = 0
    opened: bool = False


@dataclass(frozen=True, slots=True)
class _Item:
    entry: StudyEntry
    found_by: str
    shares: list[tuple[Share, bool]]  # and whether it has been opened


class Worklist:
    """Thread-safe. Every read first catches up with the registry, which costs one query when nothing has changed."""

    def __init__(self, registry: Registry, keyholder: Keyholder, now: Callable[[], int]) -> None:
        self._registry = registry
        self._keyholder = keyholder
        self._now = now
        self._lock = threading.Lock()
        self._seq = 0
        self._items: dict[str, _Item] = {}
        self._newest_first: list[_Item] = []
        self._next_end: float = 0  # when the next share of the list runs out: a change that nobody notes

    def search(self, words: str = "") -> list[StudyEntry]:
        """The studies in which every word is found, last received first; all of them for no words.

        A word is part of a name, a patient id or accession number, a modality, a part of the description, or a date in any usual form.
        Problem UNAVAILABLE when the keyholder does not answer and something has changed.
        """
        found = self._current()
        for forms in map(_needles, _words(words)):
            found = [item for item in found if any(form in item.found_by for form in forms)]
        return [item.entry for item in found]

    def entry(self, study_id: str) -> StudyEntry | None:
        self.refresh()
        item = self._items.get(study_id)
        return item.entry if item else None

    def refresh(self) -> int:
        """Catch up with the registry. Returns how many studies were read anew."""
        with self._lock:
            seq, now = self._registry.last_change(), self._now()
            changed = self._registry.changed_since(self._seq) if seq != self._seq else set()
            if changed:
                self._read(changed)
            if changed or now >= self._next_end:
                self._count_shares(now)
            self._seq = seq
            return len(changed)

    def _current(self) -> list[_Item]:
        self.refresh()
        return self._newest_first

    def _read(self, study_ids: set[str]) -> None:
        rows = {row.study_id: row for row in self._registry.studies_among(study_ids)}
        series: defaultdict[str, list[SeriesRow]] = defaultdict(list)
        for found in self._registry.series_among(rows):
            series[found.study_id].append(found)
        shares: defaultdict[str, list[tuple[Share, bool]]] = defaultdict(list)
        for given in self._registry.shares_among(rows):
            share = given.share
            for study_id in share.record.studies:
                shares[study_id].append((share, given.opened_at is not None))
        counts = self._registry.counts(rows)
        keys = self._keys(rows)
        items = {study_id: item for study_id, item in self._items.items() if study_id not in study_ids}
        for study_id, row in rows.items():
            key = keys.get(study_id)
            if key is None or study_id not in counts:
                continue
            try:
                items[study_id] = _item(row, key, series[study_id], counts[study_id], shares[study_id])
            except Problem:  # one damaged row must not hide all others
                log.error("study facts damaged", study_id=study_id)
        self._items = items

    def _keys(self, study_ids: Iterable[str]) -> dict[str, bytes | None]:
        keys: dict[str, bytes | None] = {}
        waiting = iter(study_ids)
        while batch := list(islice(waiting, KEYS_AT_ONCE)):
            keys |= self._keyholder.study_keys(batch)
        return keys

    def _count_shares(self, now: int) -> None:
        ends: list[int] = []
        for study_id, item in self._items.items():
            live = [(share, opened) for share, opened in item.shares if share.state(now) in _LIVE]
            ends += [share.record.expires_at for share, _ in live]
            count, opened = len(live), any(opened for _, opened in live)
            if (count, opened) != (item.entry.open_shares, item.entry.opened):
                entry = replace(item.entry, open_shares=count, opened=opened)
                self._items[study_id] = replace(item, entry=entry)
        self._next_end = min(ends, default=float("inf"))
        self._newest_first = sorted(self._items.values(), key=lambda item: (-item.entry.received_at, item.entry.study_id))


def _item(row: StudyRow, key: bytes, series: list[SeriesRow], counts: Counts, shares: list[tuple[Share, bool]]) -> _Item:
    about = facts.study(row, key)
    modalities = tuple(sorted({modality for found in series if (modality := facts.series(found, key).modality)}))
    entry = StudyEntry(
        study_id=row.study_id,
        state=row.state,
        patient=person_name(about.patient_name),
        birth_date=about.patient_birth_date,
        patient_id=about.patient_id,
        study_date=about.study_date,
        study_time=about.study_time,
        modalities=modalities,
        description=about.description,
        accession_number=about.accession_number,
        series=counts.series,
        images=counts.instances,
        reports=counts.reports,
        size=counts.size,
        received_at=row.last_received_at,
    )
    return _Item(entry, _found_by(about, modalities), shares)


# -- words -------------------------------------------------------------------------------------------------------------

_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_DAY_FIRST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})?")
_YEAR_FIRST = re.compile(r"(\d{4})[./-](\d{1,2})[./-](\d{1,2})")
_SPACED_DATE = re.compile(r"(?<=\d[./])\s+(?=\d)")


def _fold(text: str) -> str:
    """Without case and accents: "Müller" and "MULLER" are the same."""
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_UNDECOMPOSED))
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def _spellings(text: str) -> set[str]:
    """ "Müller" is found as muller and as mueller."""
    return {_fold(text), _fold(unicodedata.normalize("NFC", text).casefold().translate(_SPELLED))}


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,;^]+", _SPACED_DATE.sub("", text[:WORDS_LIMIT])) if word]


def _needles(word: str) -> set[str]:
    """All forms in which a word may stand in `_found_by`."""
    if match := _YEAR_FIRST.fullmatch(word):
        year, month, day = match.groups()
        return {f"{day:0>2}.{month:0>2}.{year}"}
    if match := _DAY_FIRST.fullmatch(word):
        day, month, year = match.groups()
        years = [f"19{year}", f"20{year}"] if year and len(year) == 2 else [year or ""]
        return {f"{day:0>2}.{month:0>2}.{year}" for year in years} | _spellings(word)
    return _spellings(word)


def _dates(da: str) -> str:
    """A DICOM date as 31.12.1980, 19801231 and 31121980."""
    if len(da) != 8 or not da.isdecimal():
        return da
    return f"{da[6:]}.{da[4:6]}.{da[:4]} {da} {da[6:]}{da[4:6]}{da[:4]}"


def _found_by(about: StudyFacts, modalities: tuple[str, ...]) -> str:
    names = re.sub(r"[\^=]+", " ", about.patient_name)
    texts = [names, about.patient_id, about.accession_number, *modalities, about.description]
    return "\n".join(
        [form for text in texts for form in sorted(_spellings(text))] + [_dates(about.patient_birth_date), _dates(about.study_date)]
    )

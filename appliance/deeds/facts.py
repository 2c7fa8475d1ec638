"""The sealed facts of the registry's rows, opened and sealed in one place: which key, which table, which row."""

from dataclasses import asdict
from typing import Any

from ..domain.study import InstanceFacts, Kind, ReportFacts, SeriesFacts, StudyFacts
from ..registry import InstanceRow, QuarantineRow, ReportRow, SeriesRow, StudyRow
from ..vault.columns import open_column, seal_column

Facts = StudyFacts | SeriesFacts | InstanceFacts | ReportFacts

_TABLES: dict[type[Facts], str] = {
    StudyFacts: StudyRow.TABLE,
    SeriesFacts: SeriesRow.TABLE,
    InstanceFacts: InstanceRow.TABLE,
    ReportFacts: ReportRow.TABLE,
}


def seal(facts: Facts, study_key: bytes, row: str) -> bytes:
    """The `about` column of the row with that key."""
    return seal_column(study_key, asdict(facts), table=_TABLES[type(facts)], row=row)


def study(row: StudyRow, study_key: bytes) -> StudyFacts:
    return StudyFacts(**_open(study_key, row.about, StudyRow.TABLE, row.study_id))


def series(row: SeriesRow, study_key: bytes) -> SeriesFacts:
    return SeriesFacts(**_open(study_key, row.about, SeriesRow.TABLE, row.series_id))


def instance(row: InstanceRow, study_key: bytes) -> InstanceFacts:
    return instance_from(_open(study_key, row.about, InstanceRow.TABLE, row.object_id))


def report(row: ReportRow, study_key: bytes) -> ReportFacts:
    return ReportFacts(**_open(study_key, row.about, ReportRow.TABLE, row.report_id))


def quarantine(row: QuarantineRow, study_key: bytes) -> dict[str, Any]:
    """What is known of a file that could not be understood: who sent it."""
    return _open(study_key, row.about, QuarantineRow.TABLE, row.object_id)


def seal_quarantine(about: dict[str, Any], study_key: bytes, object_id: str) -> bytes:
    return seal_column(study_key, about, table=QuarantineRow.TABLE, row=object_id)


def instance_from(fields: dict[str, Any]) -> InstanceFacts:
    """Facts from JSON, whose lists become tuples again."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return InstanceFacts(**values | {"kind": Kind(values["kind"])})


def _open(key: bytes, sealed: bytes, table: str, row: str) -> dict[str, Any]:
    fields = open_column(key, sealed, table=table, row=row)
    if not isinstance(fields, dict):
        raise TypeError("an about column holds an object")
    return fields

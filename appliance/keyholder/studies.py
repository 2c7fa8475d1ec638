"""Study keys: one for each study, wrapped under the key of the month it was made in; forgotten once and for all."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlite_utils import Database

from ..domain.errors import Code, Problem
from ..vault.keys import Context, new_key, unwrap, wrap
from .ring import Ring, bury, refuse_buried, row


class Studies:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        with ring.write() as db:
            self._drop_empty_epochs(db)

    def create_study_key(self, study_id: str) -> bytes:
        """The key of a study; made when it has none. Errors: Problem CONFLICT for a forgotten study."""
        key = self.key(self._ring.here(), study_id)
        if key is not None:
            return key
        with self._ring.write() as db:
            key = self.key(db, study_id)
            if key is None:
                refuse_buried(db, study_id)
                epoch = self._this_month()
                epoch_key = self._epoch_key(db, epoch)
                if epoch_key is None:
                    self._drop_empty_epochs(db)
                    epoch_key = new_key()
                    wrapped = self._ring.master.wrap(epoch_key, epoch_context(epoch))
                    db.execute("INSERT INTO epochs (epoch, wrapped) VALUES (?, ?)", [epoch, wrapped])
                key = new_key()
                wrapped = wrap(epoch_key, key, _study_context(epoch, study_id))
                db.execute("INSERT INTO studies (study_id, epoch, wrapped) VALUES (?, ?, ?)", [study_id, epoch, wrapped])
        return key

    def study_keys(self, study_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The keys of studies, None for those forgotten or unknown."""
        db = self._ring.here()
        return {study_id: self.key(db, study_id) for study_id in study_ids}

    def anchor(self, study_id: str, generation: int, sha256: bytes) -> None:
        """Remember which manifest of a study is the newest: whoever offers an older one offers a rollback.

        Repeatable. Errors: Problem NOT_FOUND for an unknown study, CONFLICT for an older generation or another hash of the same one.
        """
        with self._ring.write() as db:
            known = row(db, "SELECT generation, anchor FROM studies WHERE study_id = ?", [study_id])
            if known is None:
                raise Problem(Code.NOT_FOUND, "This study does not exist any more. Reload the list.")
            if generation < known["generation"] or (generation == known["generation"] and known["anchor"] not in (None, sha256)):
                raise Problem(Code.CONFLICT, "A newer state of this study is known. It does not go back to an older one.")
            db.execute("UPDATE studies SET generation = ?, anchor = ? WHERE study_id = ?", [generation, sha256, study_id])

    def forget_study(self, study_id: str) -> None:
        """Destroy the key wherever it is wrapped, in shares too, and the key of a past month that has no study left. Repeatable."""
        with self._ring.write() as db:
            db.execute("DELETE FROM share_studies WHERE study_id = ?", [study_id])
            db.execute("DELETE FROM studies WHERE study_id = ?", [study_id])
            bury(db, study_id, self._ring.now())
            self._drop_empty_epochs(db)

    def key(self, db: Database, study_id: str) -> bytes | None:
        """The key of a study inside the caller's transaction. Errors: WrongWrap."""
        found = row(
            db,
            "SELECT epoch, studies.wrapped, epochs.wrapped AS epoch_key FROM studies JOIN epochs USING (epoch) WHERE study_id = ?",
            [study_id],
        )
        if found is None:
            return None
        epoch_key = self._ring.master.unwrap(found["epoch_key"], epoch_context(found["epoch"]))
        return unwrap(epoch_key, found["wrapped"], _study_context(found["epoch"], study_id))

    def _epoch_key(self, db: Database, epoch: str) -> bytes | None:
        found = row(db, "SELECT wrapped FROM epochs WHERE epoch = ?", [epoch])
        return None if found is None else self._ring.master.unwrap(found["wrapped"], epoch_context(epoch))

    def _drop_empty_epochs(self, db: Database) -> None:
        db.execute("DELETE FROM epochs WHERE epoch < ? AND epoch NOT IN (SELECT epoch FROM studies)", [self._this_month()])

    def _this_month(self) -> str:
        return datetime.fromtimestamp(self._ring.now(), UTC).strftime("%Y-%m")


def epoch_context(epoch: str) -> Context:
    return Context("bildbrief/v1/epoch-key", epoch.encode())


def _study_context(epoch: str, study_id: str) -> Context:
    return Context("bildbrief/v1/study-key", epoch.encode(), bytes.fromhex(study_id))

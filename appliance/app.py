"""The one place that constructs: from a configuration to the parts of one process, each made when first asked for, once."""

from functools import cached_property
from typing import TYPE_CHECKING

from .config import Config, now_of
from .deeds.checking import Checking
from .deeds.committing import Committing
from .deeds.completing import Completing
from .deeds.delivery import Delivery
from .deeds.ingest import Ingest
from .deeds.inspecting import Inspecting
from .deeds.journal import Journal
from .deeds.manifest import Manifests
from .deeds.mirroring import Mirroring
from .deeds.opening import Opening
from .deeds.proving import Proving
from .deeds.reburying import Reburying
from .deeds.reports import Reports
from .deeds.retention import Retention
from .deeds.sharing import Limits, Sharing
from .deeds.staff import Staff
from .deeds.sweeping import Sweeping
from .deeds.worklist import Worklist
from .dicom.cage import Cage
from .disk.places import Places
from .domain.modalities import nodes
from .domain.retention import Terms
from .domain.share import DAY
from .keyholder.client import Keyholder
from .keyholder.tls import Remote
from .registry import Registry
from .registry.settings import Settings
from .vault.blobs import Blobs, Local
from .vault.s3 import open_mirror

if TYPE_CHECKING:
    from .deeds.sending import Sending


class Appliance:
    """The parts of the process `role`. A process that never asks for a part never has it."""

    def __init__(self, config: Config, role: str) -> None:
        self.config = config
        self.role = role
        self.places = Places(config.data_dir, config.key_dir, config.run_dir)
        self.now = now_of(config)

    def close(self) -> None:
        """Let go of what was opened."""
        for part in ("cage", "keyholder", "registry"):
            if part in self.__dict__:
                getattr(self, part).close()

    # -- rooms -----------------------------------------------------------------------------------------------------

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.places.registry / "registry.sqlite3", read_only=self.role == "portal")

    @cached_property
    def settings(self) -> Settings:
        return Settings(self.places.registry / "settings.json")

    @cached_property
    def keyholder(self) -> Keyholder:
        away = self.config.keyholder_address
        return Keyholder(Remote(*away, self.places.client(self.role)) if away else self.places.sockets / f"{self.role}.sock")

    @cached_property
    def objects(self) -> Local:
        return Local(self.places.objects)

    @cached_property
    def quarantine(self) -> Local:
        return Local(self.places.quarantine)

    @cached_property
    def mirror(self) -> Blobs | None:
        config = self.config
        return open_mirror(
            config.mirror_url,
            endpoint=config.mirror_endpoint,
            region=config.mirror_region,
            access_key=config.mirror_access_key,
            secret_key=config.mirror_secret_key,
            declared_eu=config.mirror_declared_eu,
        )

    @cached_property
    def cage(self) -> Cage:
        return Cage(workers=self.config.cage_workers, memory=self.config.cage_memory, seconds=self.config.cage_seconds)

    # -- deeds -----------------------------------------------------------------------------------------------------

    @cached_property
    def ingest(self) -> Ingest:
        return Ingest(
            self.places.intake, self.objects, self.quarantine, self.registry, self.keyholder, self.cage, self.now, self.config.cage_workers
        )

    @cached_property
    def completing(self) -> Completing:
        return Completing(self.registry, self.objects, self.keyholder, self.cage, self.manifests, self.now, self.config.quiet_seconds)

    @cached_property
    def manifests(self) -> Manifests:
        return Manifests(self.registry, self.objects, self.keyholder, self.now)

    @cached_property
    def sharing(self) -> Sharing:
        config = self.config
        limits = Limits(default=config.share_days * DAY, longest=config.share_days_max * DAY, grace=config.grace_days * DAY)
        return Sharing(self.registry, self.keyholder, self.now, limits)

    @cached_property
    def opening(self) -> Opening:
        return Opening(self.registry, self.keyholder, self.now)

    @cached_property
    def delivery(self) -> Delivery:
        return Delivery(self.registry, self.objects)

    @cached_property
    def reports(self) -> Reports:
        return Reports(self.registry, self.objects, self.keyholder, self.cage, self.manifests, self.now, self.config.upload_limit)

    @cached_property
    def staff(self) -> Staff:
        return Staff(self.registry, self.keyholder, self.now)

    @cached_property
    def worklist(self) -> Worklist:
        return Worklist(self.registry, self.keyholder, self.now)

    @cached_property
    def inspecting(self) -> Inspecting:
        return Inspecting(self.registry, self.objects, self.keyholder)

    @cached_property
    def sending(self) -> "Sending":
        from .deeds.sending import Sending  # here: it brings pynetdicom, which most processes do without

        return Sending(self.registry, self.objects, self.keyholder, self.now, self.config.ae_title)

    @cached_property
    def committing(self) -> Committing:
        from .scu.commitment import report  # here: it brings pynetdicom, which nobody needs unless it is asked for

        config = self.config
        proving = Proving(self.registry, self.objects, self.keyholder, self.now, mirrored=config.mirror_url is not None)
        known = nodes(config.modalities or ())
        return Committing(self.places.intake, self.registry, self.keyholder, self.cage, proving, self.now, report, known, config.ae_title)

    @cached_property
    def retention(self) -> Retention:
        terms = Terms(grace=self.config.grace_days * DAY, unshared=self.config.unshared_days * DAY)
        mirrored = self.config.mirror_url is not None
        return Retention(self.registry, self.objects, self.quarantine, self.keyholder, self.now, terms, mirrored=mirrored)

    @cached_property
    def mirroring(self) -> Mirroring:
        return Mirroring(self.registry, self.objects, self.mirror, self.now)

    @cached_property
    def sweeping(self) -> Sweeping:
        return Sweeping(self.registry, self.objects, self.quarantine, self.now)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.registry, self.keyholder, self.now)

    @cached_property
    def reburying(self) -> Reburying:
        return Reburying(self.registry, self.keyholder)

    @cached_property
    def checking(self) -> Checking:
        return Checking(self.registry, self.objects, self.quarantine, self.keyholder)

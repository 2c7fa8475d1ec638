"""The Storage SCP as pynetdicom's documentation shows it first (Examples, Storage Service, Storage SCP), without its debug log.

    python -m benches.receiving.example_scp HOST PORT

It writes into the working directory.
"""

import sys

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event


def handle_store(event: Event) -> int:
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.save_as(dataset.SOPInstanceUID, enforce_file_format=True)
    return 0x0000


def main() -> None:
    ae = AE()
    ae.supported_contexts = AllStoragePresentationContexts
    ae.start_server((sys.argv[1], int(sys.argv[2])), evt_handlers=[(evt.EVT_C_STORE, handle_store)])


if __name__ == "__main__":
    main()

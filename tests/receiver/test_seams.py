"""The seams in pynetdicom that the receiver hangs on. When an upgrade moves one, this fails before a scanner does."""

import inspect
import socket
import threading
from importlib.metadata import version
from pathlib import Path

import pynetdicom
import pytest
from pynetdicom import _config
from pynetdicom.acse import ACSE
from pynetdicom.association import Association, ServiceUser
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE, InvalidEventError, StateMachine
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket
from receiving import NOW
from wire import Peer

from appliance.receiver.layer import Acceptor, Connection, UpperLayer
from appliance.receiver.limits import Limits, Patience
from appliance.receiver.service import Service, Site


def test_the_version_is_the_one_locked() -> None:
    lock = (Path(__file__).parents[2] / "requirements/run.txt").read_text()
    assert f"pynetdicom=={version('pynetdicom')}" in lock


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (AssociationSocket.__init__, ["self", "assoc", "client_socket", "address"]),
        (AssociationSocket.close, ["self"]),
        (AssociationSocket.send, ["self", "bytestream"]),
        (DULServiceProvider.__init__, ["self", "assoc"]),
        (DULServiceProvider.is_alive, ["self"]),
        (DULServiceProvider.stop_dul, ["self"]),
        (DULServiceProvider.kill_dul, ["self"]),
        (DULServiceProvider.send_pdu, ["self", "primitive"]),
        (DULServiceProvider.receive_pdu, ["self", "wait", "timeout"]),
        (DULServiceProvider._process_recv_primitive, ["self"]),
        (DULServiceProvider._decode_pdu, ["self", "bytestream"]),
        (StateMachine.do_action, ["self", "event"]),
        (ACSE.send_reject, ["self", "result", "source", "diagnostic"]),
        (ACSE.send_release, ["self", "is_response"]),
        (ACSE.send_abort, ["self", "source"]),
        (ACSE.negotiate_association, ["self"]),
        (Association.__init__, ["self", "ae", "mode"]),
        (Association.run_reactor, ["self"]),
        (Association.set_socket, ["self", "socket"]),
        (AddressInformation.from_tuple, ["address_info"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_what_is_overridden_or_called_has_its_form(function: object, parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Association, "accepted_contexts"),
        (ServiceUser, "maximum_length"),
        (ServiceUser, "supported_contexts"),
        (PresentationContext, "transfer_syntax"),
        (A_ASSOCIATE, "presentation_context_definition_list"),
        (A_ASSOCIATE, "calling_ae_title"),
        (A_ASSOCIATE, "called_ae_title"),
        (A_ASSOCIATE, "application_context_name"),
    ],
    ids=str,
)
def test_properties_are_properties(owner: type, name: str) -> None:
    assert isinstance(inspect.getattr_static(owner, name), property)


def test_ours_override_theirs() -> None:
    overridden = {
        ours: {name for name in vars(ours) if not name.startswith("_")} & set(dir(theirs))
        for ours, theirs in ((Connection, AssociationSocket), (UpperLayer, DULServiceProvider), (Acceptor, Association))
    }
    assert overridden == {
        Connection: set(),
        UpperLayer: {"is_alive", "stop_dul", "send_pdu", "receive_pdu"},
        Acceptor: {"run_reactor"},
    }


def test_the_state_machine_has_the_states_and_the_events() -> None:
    assert TRANSITION_TABLE["Evt6", "Sta2"] == "AE-6"  # Sta2 waits for the A-ASSOCIATE-RQ
    assert TRANSITION_TABLE["Evt18", "Sta2"] == "AA-2"  # that did not come in time
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"  # an invalid PDU during data transfer: A-ABORT
    assert TRANSITION_TABLE["Evt17", "Sta6"] == "AA-4"  # the peer is gone
    assert TRANSITION_TABLE["Evt15", "Sta6"] == "AA-1"  # an abort of ours
    assert TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"  # Sta13 waits for the peer to close
    assert TRANSITION_TABLE["Evt18", "Sta13"] == "AA-2"
    assert ACTIONS["DT-2"][2] == "Sta6"  # data leave the state as it is, so they need not pass through it
    assert issubclass(InvalidEventError, Exception)


def test_settings_are_there() -> None:
    assert isinstance(_config.LOG_HANDLER_LEVEL, str)
    assert pynetdicom.build_context("1.2.3", ["1.2.840.10008.1.2"]).transfer_syntax == ["1.2.840.10008.1.2"]


def test_an_association_runs_in_the_thread_that_asks(tmp_path: Path) -> None:
    site = Site(tmp_path, "BILDBRIEF", Limits(patience=Patience(first=0.5)), (), lambda: NOW, lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listener, Peer(listener.getsockname()[1]) as peer:
        connected, _ = listener.accept()
        association = Service(site).meet(connected, tls=False)
        assert association is not None
        assert type(association.dul) is UpperLayer
        assert type(association.dul.socket) is Connection
        threads = threading.active_count()
        asking = threading.Thread(target=peer.associate)
        asking.start()
        association.run_reactor()  # to its end: without an intake key it rejects
        asking.join()
        assert peer.answer == bytes([0, 2, 3, 1])
        assert threading.active_count() == threads

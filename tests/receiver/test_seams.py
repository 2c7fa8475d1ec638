"""The seams in pynetdicom that the receiver hangs on. When an upgrade moves one, this fails before a scanner does."""

import inspect
from importlib.metadata import version
from pathlib import Path

import pynetdicom
import pytest
from pynetdicom import AE, _config, evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association, ServiceUser
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler
from receiving import Running
from wire import ACCEPT, Peer

from appliance.receiver.layer import Connection, Exchange, Server, UpperLayer


def test_the_version_is_the_one_locked() -> None:
    lock = (Path(__file__).parents[2] / "requirements/run.txt").read_text()
    assert f"pynetdicom=={version('pynetdicom')}" in lock


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (AssociationSocket.__init__, ["self", "assoc", "client_socket", "address"]),
        (AssociationSocket.recv, ["self", "nr_bytes"]),
        (AssociationSocket.close, ["self"]),
        (DULServiceProvider.__init__, ["self", "assoc"]),
        (DULServiceProvider.run_reactor, ["self"]),
        (DULServiceProvider.send_pdu, ["self", "primitive"]),
        (DULServiceProvider.kill_dul, ["self"]),
        (DIMSEServiceProvider.__init__, ["self", "assoc"]),
        (DIMSEServiceProvider.receive_primitive, ["self", "primitive"]),
        (AssociationServer.get_request, ["self"]),
        (AssociationServer.verify_request, ["self", "request", "client_address"]),
        (AssociationServer.handle_error, ["self", "request", "client_address"]),
        (AssociationServer.handle_request, ["self"]),
        (RequestHandler.handle, ["self"]),
        (ACSE.send_reject, ["self", "result", "source", "diagnostic"]),
        (Association.abort, ["self", "block"]),
        (Association.kill, ["self"]),
        (
            AE.make_server,
            ["self", "address", "ae_title", "contexts", "ssl_context", "evt_handlers", "server_class", "kwargs"],
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_what_is_overridden_or_called_has_its_form(function: object, parameters: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == parameters  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (AssociationSocket, "ready"),
        (AssociationServer, "active_associations"),
        (DIMSEServiceProvider, "maximum_pdu_size"),
        (DIMSEServiceProvider, "dul"),
        (Association, "accepted_contexts"),
        (Association, "acse_timeout"),
        (Association, "network_timeout"),
        (ServiceUser, "maximum_length"),
        (ServiceUser, "supported_contexts"),
        (PresentationContext, "transfer_syntax"),
        (P_DATA, "presentation_data_value_list"),
        (A_ASSOCIATE, "presentation_context_definition_list"),
        (A_ASSOCIATE, "calling_ae_title"),
        (A_ASSOCIATE, "called_ae_title"),
    ],
    ids=str,
)
def test_properties_are_properties(owner: type, name: str) -> None:
    assert isinstance(inspect.getattr_static(owner, name), property)


def test_ours_override_theirs() -> None:
    for ours, theirs in (
        (Connection, AssociationSocket),
        (UpperLayer, DULServiceProvider),
        (Exchange, DIMSEServiceProvider),
        (Server, AssociationServer),
    ):
        overridden = {name for name in vars(ours) if not name.startswith("_")} & set(dir(theirs))
        assert (
            overridden
            == {
                Connection: {"recv", "ready"},
                UpperLayer: {"run_reactor"},
                Exchange: {"receive_primitive"},
                Server: {"request_queue_size", "get_request", "verify_request", "handle_error"},
            }[ours]
        )


def test_an_association_waits_for_the_thread_that_reads() -> None:
    """The event that it waits for is set before anything else, or by us where nothing else happens."""
    assert "_dul_ready.wait()" in inspect.getsource(Association.run_reactor)
    assert "_dul_ready.set()" in inspect.getsource(DULServiceProvider.run_reactor)


def test_the_state_machine_has_the_states_and_the_event() -> None:
    assert TRANSITION_TABLE["Evt19", "Sta6"] == "AA-8"  # an invalid PDU during data transfer: A-ABORT
    assert TRANSITION_TABLE["Evt6", "Sta2"] == "AE-6"  # Sta2 waits for the A-ASSOCIATE-RQ
    assert ACTIONS["DT-2"][2] == "Sta6"


def test_events_and_settings_are_there() -> None:
    assert evt.EVT_CONN_OPEN in evt._NOTIFICATION_EVENTS
    assert evt.EVT_REQUESTED in evt._NOTIFICATION_EVENTS
    assert isinstance(_config.LOG_HANDLER_LEVEL, str)
    assert isinstance(_config.PASS_CONTEXTVARS, bool)
    assert pynetdicom.build_context("1.2.3", ["1.2.840.10008.1.2"]).transfer_syntax == ["1.2.840.10008.1.2"]


def test_an_association_is_made_of_ours(receiver: Running) -> None:
    with Peer(receiver.port) as peer:
        assert peer.associate() == ACCEPT
        assert peer.maximum == 256 << 10
        (association,) = receiver.associations()
        assert type(association.dul) is UpperLayer
        assert type(association.dul.socket) is Connection
        assert type(association.dimse) is Exchange
        assert association.dul.artim_timer.timeout == 5
        assert association.dul._idle_timer.timeout == 120
        peer.release()

"""The OPC UA server, seen by a real asyncua client."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piaccel import sinks
from piaccel.errors import NotFoundError, OptionError, UnavailableError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Event
from piaccel.sinks._condition import Fault
from piaccel.sinks._eventloop import EventLoop
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.events import classified, event, unanswered
from tests.sinks.waiting import free_port, until

asyncua = pytest.importorskip("asyncua", reason="asyncua is not installed")
ua = asyncua.ua

LINE = "ns=2;s=line1."


class TestOpcUa(SinkCompliance):
    port = free_port()

    def spec(self, folder: Path) -> str:
        return f"opcua:opc.tcp://127.0.0.1:{self.port}/piaccel"


class Watcher:
    """A client that reads, and that writes down every change of what it subscribed to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = asyncua.Client(url, timeout=20)
        self.changes: list[tuple[str, Any]] = []
        self.loop = EventLoop("watcher")

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.changes.append((node.nodeid.Identifier.rpartition(".")[2], value))

    def connect(self) -> None:
        self.loop.call(self.client.connect(), 60)

    def read(self, name: str) -> Any:
        """The DataValue of a variable, whatever its status."""
        return self.loop.call(self.client.get_node(name).read_data_value(raise_on_bad_status=False), 60)

    def value(self, name: str, stream: str = "line1") -> Any:
        return self.read(f"ns=2;s={stream}.{name}").Value.Value

    def subscribe(self, *names: str) -> None:
        async def begin() -> None:
            subscription = await self.client.create_subscription(20, self)
            await subscription.subscribe_data_change([self.client.get_node(LINE + name) for name in names])

        self.loop.call(begin(), 60)

    def close(self) -> None:
        try:
            self.loop.call(self.client.disconnect(), 60)
        finally:
            self.loop.close()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """asyncua logs what a refused request and a lost connection raise as well."""
    log = logging.getLogger("asyncua")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@pytest.fixture
def url() -> str:
    return f"opc.tcp://127.0.0.1:{free_port()}/piaccel"


@pytest.fixture
def running(url: str) -> Iterator[Any]:
    outlets: list[Outlet] = []
    before = set(threading.enumerate())

    def run(options: str = "") -> Outlet:
        outlet = Outlet(sinks.make(f"opcua:{url}{options}"), patience_s=(0.01, 0.05))
        outlets.append(outlet)
        outlet.start()
        until(lambda: outlet.numbers().state != "opening")
        return outlet

    yield run
    for outlet in outlets:
        outlet.stop()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name == "piaccel-opcua"]


@pytest.fixture
def watching(url: str) -> Iterator[Any]:
    made: list[Watcher] = []

    def watch(watcher: Watcher | None = None) -> Watcher:
        made.append(watcher or Watcher(url))
        made[-1].connect()
        return made[-1]

    yield watch
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def common() -> Iterator[tuple[Outlet, Watcher]]:
    """A server and a client that tests share, as starting one takes long; each takes a stream of its own."""
    url = f"opc.tcp://127.0.0.1:{free_port()}/piaccel"
    outlet, client = Outlet(sinks.make(f"opcua:{url},stale=1h")), Watcher(url)
    outlet.start()
    until(lambda: outlet.numbers().state == "open")
    client.connect()
    yield outlet, client
    client.close()
    outlet.stop()


def shown(outlet: Outlet, newest: Event) -> None:
    sent = outlet.numbers().sent
    outlet.offer(newest)
    until(lambda: outlet.numbers().sent > sent)


def status(data: Any) -> str:
    return str(data.StatusCode.name)


def test_a_client_reads_the_newest_result_with_its_times(running: Any, watching: Any) -> None:
    outlet = running(",streams=line1")
    client = watching()
    assert status(client.read(LINE + "label")) == "BadWaitingForInitialData"
    sent = event(7, deadline_ns=1)
    outlet.offer(event(6, result=classified("good")))
    outlet.offer(sent)
    until(lambda: client.value("sequence") == 2)
    assert client.value("label") == "crack"
    assert client.value("score") == pytest.approx(0.9)
    assert client.value("age_ms") == 31.0
    assert client.value("late") is True
    assert client.value("fault") == Fault.LATE
    assert json.loads(client.value("event")) == sent.to_dict()
    data = client.read(LINE + "label")
    assert status(data) == "Good"
    assert data.SourceTimestamp.timestamp() == pytest.approx(sent.at, abs=1e-3)
    assert data.ServerTimestamp is not None


def test_a_subscriber_is_told_of_every_change(running: Any, watching: Any) -> None:
    outlet = running(",streams=line1")
    client = watching()
    outlet.offer(event(1, result=classified("good")))
    until(lambda: client.value("sequence") == 1)
    client.subscribe("label", "sequence")
    until(lambda: ("sequence", 1) in client.changes)
    outlet.offer(event(2, result=classified("hole")))
    until(lambda: ("label", "hole") in client.changes and ("sequence", 2) in client.changes)


def test_a_stream_gets_its_variables_with_its_first_event(common: tuple[Outlet, Watcher]) -> None:
    outlet, client = common
    shown(outlet, event(1, stream="gate"))
    assert client.value("label", "gate") == "crack"


def test_what_is_not_known_has_a_bad_status_and_no_number(common: tuple[Outlet, Watcher]) -> None:
    outlet, client = common
    shown(outlet, unanswered(1, stream="blind", exposed_ns=None))
    for name in ("label", "score", "age_ms"):
        data = client.read(f"ns=2;s=blind.{name}")
        assert status(data) == "BadNoData"
        assert data.Value.Value is None
    assert client.value("fault", "blind") == Fault.NO_RESULT | Fault.NO_TIME
    assert json.loads(client.value("event", "blind"))["cause"] == "expired"


def test_a_result_given_again_is_uncertain(common: tuple[Outlet, Watcher]) -> None:
    outlet, client = common
    shown(outlet, event(1, stream="paced", held=True))
    data = client.read("ns=2;s=paced.label")
    assert (data.Value.Value, status(data)) == ("crack", "UncertainLastUsableValue")


def test_a_client_can_change_nothing(common: tuple[Outlet, Watcher]) -> None:
    outlet, client = common
    shown(outlet, event(1, stream="fixed"))
    with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
        client.loop.call(client.client.get_node("ns=2;s=fixed.label").write_value("fine"), 60)
    with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
        client.loop.call(client.client.nodes.objects.add_folder(2, "mine"), 60)


def test_nobody_becomes_an_administrator_by_calling_himself_one(common: tuple[Outlet, Watcher]) -> None:
    intruder = Watcher(common[1].url)
    intruder.client.set_user("admin")
    intruder.client.set_password("admin")
    with pytest.raises(ua.UaStatusCodeError, match="BadIdentityToken"):
        intruder.connect()
    intruder.loop.close()


def test_values_turn_bad_in_silence_and_good_with_the_next_event(running: Any, watching: Any) -> None:
    outlet = running(",stale=100ms")
    outlet.offer(event(1))
    until(lambda: outlet.numbers().facts["stale_streams"] == 1)
    client = watching()
    until(lambda: status(client.read(LINE + "label")) == "BadNoCommunication")
    assert client.value("fault") == Fault.STALE
    beat = client.value("heartbeat")
    until(lambda: client.value("heartbeat") > beat)
    client.subscribe("sequence")
    outlet.offer(event(2))
    until(lambda: ("sequence", 2) in client.changes)


def test_a_server_that_was_stopped_is_found_again_under_the_same_names(running: Any, watching: Any, url: str) -> None:
    first = running()
    first.offer(event(1))
    until(lambda: first.numbers().sent == 1)
    assert watching().value("label") == "crack"
    first.stop()
    second = running()
    second.offer(event(2, result=classified("hole")))
    until(lambda: second.numbers().sent == 1)
    assert watching().value("label") == "hole"


def test_a_port_that_is_taken_is_tried_again(running: Any) -> None:
    first = running()
    second = running()
    until(lambda: "already in use" in second.numbers().error)
    first.stop()
    until(lambda: second.numbers().state == "open")


def test_a_delivery_to_a_closed_server_says_so(url: str) -> None:
    with pytest.raises(UnavailableError, match="closed"):
        sinks.make(f"opcua:{url}").deliver(event())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("opcua:opc.tcp://0.0.0.0:4840/piaccel", "anybody on the network could connect"),
        ("opcua:opc.tcp://plc.local,security=Basic256Sha256,certificate=c,private_key=k", "anybody on the network"),
        ("opcua:,security=Basic256Sha256", "needs certificate= and private_key="),
        ("opcua:,security=Basic128", "security"),
        ("opcua:http://127.0.0.1", "no opc.tcp address"),
        ("opcua:opc.tcp://127.0.0.1:99999", "is no address"),
        ("opcua:,stale=0s", "stale"),
    ],
)
def test_options_that_cannot_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        sinks.make(text)


def test_other_machines_are_served_without_security_only_when_that_was_said() -> None:
    assert str(sinks.make("opcua:opc.tcp://0.0.0.0:4840/x,insecure=true")) == "opc.tcp://0.0.0.0:4840/x"
    assert str(sinks.make("opcua:")) == "opcua"


def test_a_certificate_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"no\.der: no such file"):
        sinks.make("opcua:,security=Basic256Sha256,certificate=no.der,private_key=no.pem").open()


def test_a_certificate_that_is_none_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    sink = sinks.make(f"opcua:,security=Basic256Sha256,certificate={broken},private_key={broken}")
    with pytest.raises(OptionError, match="is broken"):
        sink.open()


def certificate(folder: Path, name: str, uri: str, *, client: bool) -> tuple[Path, Path]:
    """Make (certificate, private key) as a file each."""
    from asyncua.crypto.cert_gen import (
        dump_private_key_as_pem,
        generate_private_key,
        generate_self_signed_app_certificate,
    )
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = generate_private_key()
    use = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    made = generate_self_signed_app_certificate(
        key, name, {}, [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")], [use]
    )
    paths = folder / f"{name}.der", folder / f"{name}.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.DER))
    paths[1].write_bytes(dump_private_key_as_pem(key))
    return paths


def secured(url: str, paths: tuple[Path, Path], uri: str, server: Path) -> Watcher:
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

    watcher = Watcher(url)
    watcher.client.application_uri = uri
    watcher.loop.call(
        watcher.client.set_security(
            SecurityPolicyBasic256Sha256, str(paths[0]), str(paths[1]), server_certificate=str(server)
        ),
        60,
    )
    return watcher


def test_an_encrypted_server_lets_in_whom_it_trusts_and_nobody_else(
    running: Any, watching: Any, url: str, tmp_path: Path
) -> None:
    server = certificate(tmp_path, "server", "urn:line1:piaccel", client=False)
    friend = certificate(tmp_path, "friend", "urn:friend", client=True)
    stranger = certificate(tmp_path, "stranger", "urn:stranger", client=True)
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "friend.der").write_bytes(friend[0].read_bytes())
    outlet = running(f",security=Basic256Sha256,certificate={server[0]},private_key={server[1]},trusted={trusted}")
    outlet.offer(event(1))
    until(lambda: outlet.numbers().sent == 1)

    assert watching(secured(url, friend, "urn:friend", server[0])).value("label") == "crack"

    refused = secured(url, stranger, "urn:stranger", server[0])
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError, UnavailableError)):
        refused.connect()
    refused.loop.close()
    plain = Watcher(url)
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError, UnavailableError)):
        plain.connect()
    plain.loop.close()
    outlet.offer(event(2))
    until(lambda: outlet.numbers().sent == 2)

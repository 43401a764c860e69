"""MQTT against a real mosquitto: nothing is lost when it dies, Home Assistant finds the streams, errors are plain."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from piaccel import sinks
from piaccel.errors import InputError, NotFoundError, OptionError, PiaccelError, UnavailableError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Sink, _discovery
from piaccel.sinks._mqtt_link import WINDOW
from tests.sinks.brokers import Broker, OldBroker, Subscriber, certificates, event
from tests.sinks.waiting import free_port, until

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
QUICK = (0.02, 0.1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    brokers: list[Broker] = []

    def start(*lines: str) -> Broker:
        brokers.append(Broker(tmp_path, *lines))
        return brokers[-1]

    yield start
    for each in brokers:
        each.kill()


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    subscribers: list[Subscriber] = []

    def start(port: int, user: str = "", password: str = "") -> Subscriber:
        subscribers.append(Subscriber(port, user, password))
        return subscribers[-1]

    yield start
    for each in subscribers:
        each.close()


Start = Callable[..., Broker]
Subscribe = Callable[..., Subscriber]


def passwords(path: Path, *names: str) -> None:
    path.touch()
    for name in names:
        subprocess.run(["mosquitto_passwd", "-b", str(path), name, f"{name}'s secret"], check=True, capture_output=True)


def refusal(sink: Sink) -> PiaccelError:
    """Return the error that opening the sink ends in; it is one line and without the password."""
    with pytest.raises(PiaccelError) as caught:
        sink.open()
    sink.close()
    text = f"{caught.value} {caught.value.hint}"
    assert "\n" not in text
    assert "hunter2" not in text
    return caught.value


def test_an_event_arrives_as_json_with_its_best_finding(broker: Start, subscribe: Subscribe) -> None:
    port = broker().port
    seen = subscribe(port)
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{port}/works/line1"))
    outlet.start()
    outlet.offer(event(7))
    until(lambda: bool(seen.results("works/line1/line/result")), "the event arrives")
    outlet.stop()
    (got,) = seen.results("works/line1/line/result")
    assert (got["id"], got["finding"], got["score"], got["findings"]) == ("pi/boot/7", "crack", 0.75, 1)
    assert got["result"]["kind"] == "classification"
    assert outlet.numbers().sent == 1


@pytest.mark.parametrize("qos", [1, 2])
def test_nothing_is_lost_when_the_broker_is_killed_forgets_everything_and_refuses_at_first(
    broker: Start, subscribe: Subscribe, tmp_path: Path, qos: int
) -> None:
    known = tmp_path / "passwords"
    passwords(known, "viewer", "line")
    server = broker("allow_anonymous false", f"password_file {known}")
    seen = subscribe(server.port, "viewer", "viewer's secret")
    (tmp_path / "secret").write_text("line's secret\n", encoding="utf-8")
    sink = sinks.make(f"mqtt://line@127.0.0.1:{server.port}/l,qos={qos},password_file={tmp_path / 'secret'}")
    outlet = Outlet(sink, patience_s=QUICK)
    outlet.start()
    stopped = threading.Event()

    def offer() -> None:
        for number in range(600):
            outlet.offer(event(number))
            stopped.wait(0.001)

    offering = threading.Thread(target=offer)
    offering.start()
    until(lambda: len(seen.messages) > 100, "the stream flows")
    server.signal(signal.SIGSTOP)
    until(lambda: outlet.numbers().facts["unconfirmed"] == WINDOW, "the window is full")
    server.kill()
    until(lambda: outlet.numbers().state == "failing", "the loss is noticed")
    known.unlink()
    passwords(known, "viewer")
    server.start()
    later = subscribe(server.port, "viewer", "viewer's secret")
    until(lambda: "refuses the user name" in outlet.numbers().error, "a broker that is not ready yet refuses")
    passwords(known, "line")
    server.signal(signal.SIGHUP)
    offering.join()
    until(lambda: outlet.numbers().sent == 600, "all are acknowledged")
    outlet.stop()
    until(lambda: "pi/boot/599" in [each["id"] for each in later.results("l/line/result")], "the last one arrives")
    before = [each["id"] for each in seen.results("l/line/result")]
    after = [each["id"] for each in later.results("l/line/result")]
    assert {*before, *after} == {f"pi/boot/{number}" for number in range(600)}
    numbers = outlet.numbers()
    assert (numbers.offered, numbers.sent, numbers.given_up, numbers.queued) == (600, 600, {}, 0)
    order = [int(name.rpartition("/")[2]) for name in after]
    assert sorted(set(order)) == list(dict.fromkeys(order)), "the order is kept"


def test_qos_0_is_at_most_once_and_counts_what_it_lost(broker: Start, subscribe: Subscribe) -> None:
    server = broker()
    seen = subscribe(server.port)
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{server.port}/l,qos=0"), patience_s=QUICK)
    assert outlet.numbers().delivery == "at most once"
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it is sent")
    until(lambda: len(seen.results("l/line/result")) == 1, "it arrives")
    server.kill()
    until(lambda: outlet.numbers().state == "failing", "the loss is noticed")
    outlet.offer(event(1))
    outlet.stop(0.2)
    numbers = outlet.numbers()
    assert numbers.sent == 1
    assert sum(numbers.given_up.values()) == 1


def test_a_broker_that_hangs_loses_nothing_and_does_not_hang_the_sink(broker: Start, subscribe: Subscribe) -> None:
    server = broker()
    seen = subscribe(server.port)
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{server.port}/l,timeout=300ms"), patience_s=QUICK)
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it works")
    server.signal(signal.SIGSTOP)
    for number in range(1, 100):
        outlet.offer(event(number))
    until(lambda: outlet.numbers().state == "failing", "it is noticed")
    assert outlet.numbers().sent == 1
    server.signal(signal.SIGCONT)
    until(lambda: outlet.numbers().sent == 100, "all are acknowledged")
    outlet.stop()
    assert {each["id"] for each in seen.results("l/line/result")} == {f"pi/boot/{number}" for number in range(100)}


def test_a_broker_that_hangs_for_ever_does_not_hang_the_end(broker: Start) -> None:
    server = broker()
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{server.port}/l,timeout=300ms"), patience_s=QUICK)
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it works")
    server.signal(signal.SIGSTOP)
    for number in range(1, 100):
        outlet.offer(event(number, "x" * 1_000_000))  # more than the network's buffers take
    outlet.stop(0.3)
    assert not outlet._thread.is_alive()
    numbers = outlet.numbers()
    assert numbers.offered == numbers.sent + sum(numbers.given_up.values())


def test_a_topic_that_the_access_list_forbids_is_named_and_nothing_counts_as_sent(
    broker: Start, tmp_path: Path
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite l/availability\n", encoding="utf-8")
    server = broker("allow_anonymous true", f"acl_file {rules}")
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{server.port}/l"), patience_s=QUICK)
    outlet.start()
    outlet.offer(event(0))
    until(lambda: "refuses what is published: Not authorized" in outlet.numbers().error, "it is refused")
    assert outlet.numbers().sent == 0
    rules.write_text("topic readwrite #\n", encoding="utf-8")
    server.signal(signal.SIGHUP)
    until(lambda: outlet.numbers().sent == 1, "it is sent once it is allowed")
    outlet.stop()


def test_home_assistant_finds_the_stream_by_itself(broker: Start, subscribe: Subscribe) -> None:
    port = broker().port
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{port}/works/line1,device_name=Line 1,discovery_prefix=ha"))
    outlet.start()
    outlet.offer(event(0, stream="front"))
    until(lambda: outlet.numbers().sent == 1, "it is sent")
    later = subscribe(port)  # sees only what is retained
    until(lambda: len(later.messages) >= 5, "the retained messages arrive")
    configs = {topic: json.loads(payload) for topic, payload, _ in later.messages if topic.startswith("ha/")}
    assert all(retained for _, _, retained in later.messages)
    assert sorted(configs) == [
        "ha/binary_sensor/piaccel_works_line1/front_problem/config",
        "ha/sensor/piaccel_works_line1/front_age/config",
        "ha/sensor/piaccel_works_line1/front_finding/config",
        "ha/sensor/piaccel_works_line1/front_score/config",
    ]
    for config in configs.values():
        assert config["availability_topic"] == "works/line1/availability"
        assert config["state_topic"] == "works/line1/front/result"
        assert config["device"]["identifiers"] == ["piaccel_works_line1"]
        assert config["device"]["name"] == "Line 1"
        assert config["device"]["model"] == "cracks"
        assert config["origin"]["name"] == "piaccel"
    assert len({config["unique_id"] for config in configs.values()}) == 4
    assert later.payloads("works/line1/availability") == [b"online"]
    outlet.stop()
    until(lambda: later.payloads("works/line1/availability") == [b"online", b"offline"], "it says good-bye")


def test_the_templates_say_what_home_assistant_shall_show() -> None:
    jinja2 = pytest.importorskip("jinja2", reason="jinja2, which Home Assistant's templates are, is not installed")
    texts = {
        description["unique_id"].rpartition("_")[2]: description["value_template"]
        for _, description in _discovery.entities("ha", "d", "D", "s", "", "d/s/result", "d/availability")
    }

    def shown(**values: Any) -> tuple[str, str]:
        finding, problem = (
            jinja2.Template(texts[key]).render(value_json={"finding": None, "cause": None, "late": False, **values})
            for key in ("finding", "problem")
        )
        return finding, problem

    assert shown(finding="crack") == ("crack", "OFF")
    assert shown() == ("nothing", "OFF")
    assert shown(finding="crack", late=True) == ("crack", "ON")
    assert shown(cause="no frame") == ("None", "ON")


def test_without_discovery_nothing_is_described(broker: Start, subscribe: Subscribe) -> None:
    port = broker().port
    seen = subscribe(port)
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{port}/l,discovery=false"))
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it is sent")
    outlet.stop()
    until(lambda: seen.payloads("l/availability") == [b"online", b"offline"], "it comes and goes")
    assert outlet.numbers().sent == 1
    assert {topic for topic, _, _ in seen.messages} == {"l/availability", "l/line/result"}


def test_another_client_sees_the_last_will_when_the_process_is_killed(broker: Start, subscribe: Subscribe) -> None:
    port = broker().port
    seen = subscribe(port)
    script = (
        "import sys, time\nfrom piaccel import sinks\n"
        f"sink = sinks.make('mqtt://127.0.0.1:{port}/l')\nsink.open()\nprint('open', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        until(lambda: seen.payloads("l/availability") == [b"online"], "it is online")
        process.kill()
    until(lambda: seen.payloads("l/availability") == [b"online", b"offline"], "the last will")
    assert subscribe_once(subscribe, port) == [(b"offline", True)]


def subscribe_once(subscribe: Subscribe, port: int) -> list[tuple[bytes, bool]]:
    later = subscribe(port)
    until(lambda: bool(later.messages), "what is retained arrives")
    return [(payload, retained) for _, payload, retained in later.messages]


def test_online_is_said_again_for_a_broker_that_sends_an_old_last_will_late(
    broker: Start, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("piaccel.sinks.mqtt._REASSERT_S", 0.05)
    port = broker().port
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{port}/l"))
    outlet.start()
    until(lambda: outlet.numbers().state == "open", "it is open")
    seen = subscribe(port)
    seen._client.publish("l/availability", b"offline", 1, True)
    until(lambda: b"online" in seen.payloads("l/availability")[1:], "it is online again")
    outlet.stop()


def test_the_last_event_is_kept_by_the_broker_when_asked_to(broker: Start, subscribe: Subscribe) -> None:
    port = broker().port
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{port}/l,retain=true,discovery=false"))
    outlet.start()
    outlet.offer(event(1))
    outlet.offer(event(2))
    outlet.stop()
    later = subscribe(port)
    until(lambda: len(later.results("l/line/result")) == 1, "what is retained arrives")
    assert later.results("l/line/result")[0]["id"] == "pi/boot/2"


def test_an_event_larger_than_the_broker_takes_costs_itself_alone(broker: Start) -> None:
    port = broker("allow_anonymous true", "max_packet_size 2000").port
    sink = sinks.make(f"mqtt://127.0.0.1:{port}/l,discovery=false")
    sink.open()
    with pytest.raises(InputError, match="more than the broker takes"):
        sink.deliver(event(0, "x" * 3000))
    sink.deliver(event(1))
    assert sink.flush(20) == 0
    sink.close()


def test_a_broker_that_knows_mqtt_3_only_is_spoken_to_in_mqtt_3(broker: Start, subscribe: Subscribe) -> None:
    server = broker()
    seen = subscribe(server.port)
    old = OldBroker(server.port)
    outlet = Outlet(sinks.make(f"mqtt://127.0.0.1:{old.port}/l"))
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it is acknowledged")
    outlet.stop()
    old.close()
    assert old.versions == [5, 4]
    assert [each["id"] for each in seen.results("l/line/result")] == ["pi/boot/0"]


def test_tls_with_an_authority_of_ones_own(broker: Start, tmp_path: Path) -> None:
    authority, certificate, key = certificates(tmp_path)
    port = broker("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}").port
    outlet = Outlet(sinks.make(f"mqtts://localhost:{port}/l,ca_file={authority}"))
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it is sent")
    outlet.stop()
    error = refusal(sinks.make(f"mqtts://me:hunter2@localhost:{port}/l"))
    assert isinstance(error, UnavailableError)
    assert "certificate is not trusted" in str(error)
    assert "ca_file=" in error.hint
    trusting = sinks.make(f"mqtts://localhost:{port}/l,insecure=true")
    trusting.open()
    trusting.close()
    plain = refusal(sinks.make(f"mqtt://me:hunter2@localhost:{port}/l,timeout=300ms"))
    assert isinstance(plain, UnavailableError)


@pytest.mark.parametrize(
    ("name", "days", "said"), [("elsewhere", 30, "is for another name"), ("localhost", -1, "is expired")]
)
def test_a_certificate_that_does_not_fit_is_named(
    broker: Start, tmp_path: Path, name: str, days: int, said: str
) -> None:
    authority, certificate, key = certificates(tmp_path, name=name, days=days)
    port = broker("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}").port
    error = refusal(sinks.make(f"mqtts://me:hunter2@localhost:{port}/l,ca_file={authority}"))
    assert said in str(error)
    assert error.hint


def test_a_client_certificate_is_shown_to_a_broker_that_asks_for_one(broker: Start, tmp_path: Path) -> None:
    authority, certificate, key = certificates(tmp_path)
    lines = (f"cafile {authority}", f"certfile {certificate}", f"keyfile {key}", "require_certificate true")
    port = broker("allow_anonymous true", *lines).port
    options = f"ca_file={authority}"
    sink = sinks.make(f"mqtts://localhost:{port}/l,{options},cert_file={certificate},key_file={key}")
    sink.open()
    sink.close()
    assert isinstance(refusal(sinks.make(f"mqtts://localhost:{port}/l,{options}")), UnavailableError)


def test_the_password_comes_from_a_file_the_address_or_the_environment(
    broker: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "passwords"
    passwords(known, "line")
    port = broker("allow_anonymous false", f"password_file {known}").port
    (tmp_path / "secret").write_text("line's secret\n", encoding="utf-8")
    for text in (
        f"line@127.0.0.1:{port}/l,password_file={tmp_path / 'secret'}",
        f"line:line's%20secret@127.0.0.1:{port}/l",
    ):
        sink = sinks.make(f"mqtt://{text}")
        sink.open()
        assert str(sink) == f"mqtt://127.0.0.1:{port}/l"
        sink.close()
    assert "refuses the user name or the password" in str(
        refusal(sinks.make(f"mqtt://line:hunter2@127.0.0.1:{port}/l"))
    )
    monkeypatch.setenv("PIACCEL_MQTT_PASSWORD", "line's secret")
    sink = sinks.make(f"mqtt://line@127.0.0.1:{port}/l")
    sink.open()
    sink.close()


def test_a_broker_that_is_not_there_is_named_without_the_password() -> None:
    error = refusal(sinks.make(f"mqtt://me:hunter2@127.0.0.1:{free_port()}/l"))
    assert "connection refused" in str(error)
    assert isinstance(error, UnavailableError)
    error = refusal(sinks.make("mqtt://me:hunter2@no-such-host.invalid/l"))
    assert "the host is unknown" in str(error)


def test_a_port_that_does_not_speak_mqtt_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        error = refusal(sinks.make(f"mqtt://me:hunter2@127.0.0.1:{mute.getsockname()[1]}/l,timeout=200ms"))
    assert "no MQTT broker answers" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "mqtt:broker/line1",
        "mqtt://me:hunter2@/line1",
        "mqtt://me:hunter2@broker:port/line1",
        "mqtt://me:hunter2@broker/line1/#",
        "mqtt://me:hunter2@broker/line+1",
        "mqtt://me:hunter2@broker/line1,qos=3",
        "mqtt://me:hunter2@broker/line1,keepalive=0s",
        "mqtt://me:hunter2@broker/line1,ca_file=ca.pem",
    ],
)
def test_an_address_or_option_that_will_never_do_is_refused_without_the_password(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        sinks.make(text)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_files_that_are_missing_or_empty_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert "no such file" in str(refusal(sinks.make("mqtts://broker/l,ca_file=/no/ca.pem")))
    assert isinstance(refusal(sinks.make("mqtt://broker/l,password_file=/no/secret")), NotFoundError)
    assert "is empty" in str(refusal(sinks.make(f"mqtt://broker/l,password_file={tmp_path / 'empty'}")))
    assert "holds no certificate" in str(refusal(sinks.make(f"mqtts://broker/l,ca_file={tmp_path / 'empty'}")))


def test_without_a_topic_it_is_the_hosts_own() -> None:
    assert str(sinks.make("mqtt://broker")).startswith("mqtt://broker/piaccel/")

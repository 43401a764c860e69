"""Webhooks against a real HTTP server: signed, sent again, given up by name, and no secret shown."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from piaccel import sinks
from piaccel.errors import InputError, NotFoundError, OptionError, PiaccelError, UnavailableError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Event, Sink
from piaccel.sinks.webhook import Webhook, WebhookOptions, signature
from tests.sinks.brokers import certificates, event
from tests.sinks.servers import Answer, Server
from tests.sinks.waiting import free_port, until

pytest.importorskip("urllib3", reason="urllib3 is not installed")
QUICK = (0.02, 0.1)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(port: int = 0, certificate: Path | None = None, key: Path | None = None) -> Server:
        servers.append(Server(port, certificate, key))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


@pytest.fixture(autouse=True)
def no_secret_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIACCEL_WEBHOOK_SECRET", raising=False)


Serve = Callable[..., Server]


def sent(text: str, given: Event) -> Sink:
    sink = sinks.make(text)
    sink.open()
    try:
        sink.deliver(given)
    finally:
        sink.close()
    return sink


def failure(text: str) -> PiaccelError:
    """Return the error that sending an event ends in; it is one line."""
    with pytest.raises(PiaccelError) as caught:
        sent(text, event(0))
    assert "\n" not in f"{caught.value}{caught.value.hint}"
    return caught.value


def test_an_event_is_posted_as_json_under_its_id(serve: Serve) -> None:
    server = serve()
    sent(f"webhook:http://127.0.0.1:{server.port}/hook?line=1", event(7))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hook?line=1")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == request.headers["webhook-id"] == "pi/boot/7"
    assert "webhook-signature" not in request.headers
    body = json.loads(request.body)
    assert body["id"] == "pi/boot/7"
    assert body["result"]["top"][0]["label"] == "crack"


def test_the_signature_is_the_standards_own() -> None:
    # the example of the Standard Webhooks specification
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    got = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert got == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "just a text"])
@pytest.mark.parametrize("by", ["file", "environment"])
def test_a_request_is_signed_with_the_secret_of_a_file_or_of_the_environment(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str, by: str
) -> None:
    server = serve()
    options = ""
    if by == "file":
        (tmp_path / "secret").write_text(f"{secret}\n", encoding="utf-8")
        options = f",secret_file={tmp_path / 'secret'}"
    else:
        monkeypatch.setenv("PIACCEL_WEBHOOK_SECRET", secret)
    sent(f"webhook:http://127.0.0.1:{server.port}/{options}", event(7))
    (request,) = server.requests
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    stamp = request.headers["webhook-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    assert request.headers["webhook-signature"] == f"v1,{signature(key, 'pi/boot/7', stamp, request.body)}"


def test_the_standards_own_library_verifies_it_and_notices_a_change(serve: Serve, tmp_path: Path) -> None:
    verifier = pytest.importorskip("standardwebhooks", reason="standardwebhooks is not installed")
    (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", encoding="utf-8")
    server = serve()
    sent(f"webhook:http://127.0.0.1:{server.port}/,secret_file={tmp_path / 'secret'}", event(7))
    (request,) = server.requests
    hook = verifier.Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert hook.verify(request.body, dict(request.headers))["id"] == "pi/boot/7"
    with pytest.raises(verifier.WebhookVerificationError):
        hook.verify(request.body.replace(b"crack", b"crock"), dict(request.headers))


def test_a_full_stop_in_the_id_does_not_make_the_signature_ambiguous(serve: Serve) -> None:
    server = serve()
    given = event(7)
    object.__setattr__(given, "id", "pi.local/boot/7")
    sent(f"webhook:http://127.0.0.1:{server.port}/", given)
    assert server.requests[0].headers["webhook-id"] == "pi_local/boot/7"
    assert json.loads(server.requests[0].body)["id"] == "pi.local/boot/7"


def test_the_time_stamp_is_that_of_the_try_not_of_the_event(serve: Serve) -> None:
    server = serve()
    times = iter([1000.0, 2000.0])
    sink = Webhook(f"http://127.0.0.1:{server.port}/", WebhookOptions(), clock=lambda: next(times))
    sink.open()
    sink.deliver(event(0))
    sink.deliver(event(0))
    sink.close()
    assert [request.headers["webhook-timestamp"] for request in server.requests] == ["1000", "2000"]
    assert len({request.headers["webhook-id"] for request in server.requests}) == 1


def test_the_connection_is_used_again(serve: Serve) -> None:
    server = serve()
    server.answers = [Answer(200, body=b"x" * 30_000), Answer(204), Answer(410, body=b"no"), Answer(204)]
    outlet = Outlet(sinks.make(f"webhook:http://127.0.0.1:{server.port}/"))
    outlet.start()
    for number in range(20):
        outlet.offer(event(number))
    outlet.stop()
    assert len({request.client for request in server.requests}) == 1


def test_errors_of_the_server_are_tried_again_until_it_takes_the_event(serve: Serve) -> None:
    server = serve()
    server.answers = [Answer(status) for status in (500, 502, 503, 504, 429, 408, 425)]
    outlet = Outlet(sinks.make(f"webhook:http://127.0.0.1:{server.port}/"), patience_s=QUICK)
    outlet.start()
    for number in range(3):
        outlet.offer(event(number))
    until(lambda: outlet.numbers().sent == 3, "all are sent")
    outlet.stop()
    ids = [request.headers["webhook-id"] for request in server.requests]
    assert ids == ["pi/boot/0"] * 8 + ["pi/boot/1", "pi/boot/2"]
    assert outlet.numbers().retries == 7


def test_an_event_refused_for_good_is_a_dead_letter_and_the_next_is_sent(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.answers = [Answer(410, body=b"no such line\nany more"), Answer(413)]
    dead = tmp_path / "dead.jsonl"
    outlet = Outlet(sinks.make(f"webhook:http://127.0.0.1:{server.port}/,dead_letter={dead}"), patience_s=QUICK)
    outlet.start()
    outlet.offer(event(0))
    until(lambda: "answers 410 (no such line): the event is given up" in outlet.numbers().error, "it says why")
    outlet.offer(event(1))
    outlet.offer(event(2))
    outlet.stop()
    numbers = outlet.numbers()
    assert (numbers.sent, numbers.given_up, numbers.error) == (1, {"failed": 2}, "")
    assert [json.loads(line)["id"] for line in dead.read_text(encoding="utf-8").splitlines()] == [
        "pi/boot/0",
        "pi/boot/1",
    ]


def test_a_server_that_is_down_and_comes_back_gets_everything_in_order(serve: Serve) -> None:
    server = serve()
    outlet = Outlet(sinks.make(f"webhook:http://127.0.0.1:{server.port}/"), patience_s=QUICK)
    outlet.start()
    outlet.offer(event(0))
    until(lambda: outlet.numbers().sent == 1, "it works")
    server.close()
    for number in range(1, 50):
        outlet.offer(event(number))
    until(lambda: outlet.numbers().state == "failing", "the loss is noticed")
    assert outlet.numbers().queued > 0
    back = serve(server.port)
    until(lambda: outlet.numbers().sent == 50, "all are sent")
    outlet.stop()
    seen = [request.headers["webhook-id"] for request in server.requests + back.requests]
    assert list(dict.fromkeys(seen)) == [f"pi/boot/{number}" for number in range(50)]


def test_a_slow_server_is_given_its_time_and_no_more(serve: Serve) -> None:
    server = serve()
    server.answers = [Answer(200, wait_s=1.5)]
    error = failure(f"webhook:http://127.0.0.1:{server.port}/,read_timeout=200ms")
    assert isinstance(error, UnavailableError)
    assert "no answer within 0.2 s" in str(error)


def test_a_slow_server_does_not_hold_up_who_offers(serve: Serve) -> None:
    server = serve()
    server.answers = [Answer(200, wait_s=0.2)]
    outlet = Outlet(sinks.make(f"webhook:http://127.0.0.1:{server.port}/,queue=5"))
    outlet.start()
    for number in range(200):
        outlet.offer(event(number))
    outlet.stop()
    numbers = outlet.numbers()
    assert numbers.given_up["queue full"] + numbers.sent == 200
    assert server.requests[-1].headers["webhook-id"] == "pi/boot/199"


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"), [("7", 7, 7), ("date", 50, 61), ("999999999", 3600, 3600), ("soon", None, None)]
)
def test_the_server_says_when_to_come_back(
    serve: Serve, header: str, least_s: float | None, most_s: float | None
) -> None:
    server = serve()
    value = formatdate(time.time() + 60, usegmt=True) if header == "date" else header
    server.answers = [Answer(503, {"Retry-After": value})]
    error = failure(f"webhook:http://127.0.0.1:{server.port}/")
    assert isinstance(error, UnavailableError)
    if least_s is None or most_s is None:
        assert error.retry_after_s is None
    else:
        assert error.retry_after_s is not None
        assert least_s <= error.retry_after_s <= most_s


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    server, other = serve(), serve()
    server.answers = [Answer(status, {"Location": f"http://127.0.0.1:{other.port}/"})]
    error = failure(f"webhook:http://127.0.0.1:{server.port}/")
    assert isinstance(error, UnavailableError), "a portal that wants a log-in goes away again"
    assert "redirects are not followed" in str(error)
    assert other.requests == []
    assert len(server.requests) == 1


def test_proxies_count_only_when_asked_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server, proxy = serve(), serve()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    sent(f"webhook:http://127.0.0.1:{server.port}/", event(0))
    assert (len(server.requests), len(proxy.requests)) == (1, 0)
    sent(f"webhook:http://127.0.0.1:{server.port}/,proxy=http://127.0.0.1:{proxy.port}", event(0))
    assert (len(server.requests), len(proxy.requests)) == (1, 1)


def test_tls_with_an_authority_of_ones_own(serve: Serve, tmp_path: Path) -> None:
    authority, certificate, key = certificates(tmp_path)
    server = serve(0, certificate, key)
    sent(f"webhook:https://localhost:{server.port}/,ca_file={authority}", event(0))
    assert len(server.requests) == 1
    error = failure(f"webhook:https://localhost:{server.port}/")
    assert isinstance(error, UnavailableError)
    assert "certificate is not trusted" in str(error)
    assert "ca_file=" in error.hint
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "days", "said"), [("elsewhere", 30, "is for another name"), ("localhost", -1, "is expired")]
)
def test_a_certificate_that_does_not_fit_is_named(
    serve: Serve, tmp_path: Path, name: str, days: int, said: str
) -> None:
    authority, certificate, key = certificates(tmp_path, name=name, days=days)
    server = serve(0, certificate, key)
    error = failure(f"webhook:https://localhost:{server.port}/,ca_file={authority}")
    assert said in str(error)
    assert error.hint


def test_a_server_that_is_not_there_is_named() -> None:
    assert "connection refused" in str(failure(f"webhook:http://127.0.0.1:{free_port()}/"))
    assert "the host is unknown" in str(failure("webhook:http://no-such-host.invalid/"))


def test_a_server_that_speaks_no_tls_is_named(serve: Serve) -> None:
    assert "TLS fails" in str(failure(f"webhook:https://127.0.0.1:{serve().port}/"))


def test_a_refusal_that_may_be_the_secrets_fault_says_so(serve: Serve) -> None:
    server = serve()
    server.answers = [Answer(401)]
    error = failure(f"webhook:http://127.0.0.1:{server.port}/")
    assert isinstance(error, InputError)
    assert "secret" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "webhook:ftp://host/",
        "webhook:host/path",
        "webhook:http://:80/",
        "webhook:http://host:port/",
        "webhook:http://me:hunter2@host/",
        "webhook:http://host/,read_timeout=0s",
        "webhook:http://host/,secret=hunter2",
    ],
)
def test_an_address_or_option_that_will_never_do_is_refused(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        sinks.make(text)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_what_may_be_secret_in_the_address_is_not_shown() -> None:
    assert str(sinks.make("webhook:https://host:8443/hook?token=hunter2")) == "webhook:https://host:8443/hook"


def test_files_and_secrets_that_do_not_fit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(failure("webhook:http://host/,secret_file=/no/secret"), NotFoundError)
    assert isinstance(failure("webhook:https://host/,ca_file=/no/ca.pem"), NotFoundError)
    assert isinstance(failure("webhook:http://host/,ca_file=/no/ca.pem"), OptionError)
    assert isinstance(failure("webhook:http://host/,proxy=ftp://no"), OptionError)
    monkeypatch.setenv("PIACCEL_WEBHOOK_SECRET", "whsec_hunter2!")
    error = failure("webhook:http://host/")
    assert "not base64" in str(error)
    assert "hunter2" not in str(error)

"""The client speaks the protocol of a real server, keeps its connection, and says what is wrong in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from piaccel.errors import InferenceError, ModelError, NotFoundError, OptionError, PiaccelError, UnavailableError
from piaccel.soak import Plan
from piaccel.soak.client import Client, Target
from piaccel.soak.findings import find
from piaccel.soak.run import soak
from tests.soak.oip_server import OipServer, serving


@pytest.fixture
def server() -> Iterator[OipServer]:
    with serving() as running:
        yield running


@pytest.fixture
def client(server: OipServer) -> Iterator[Client]:
    with Client(Target.parse(f"{server.url}/v2/models/parts")) as made:
        yield made


def test_a_url_with_a_model_and_one_with_the_option_mean_the_same() -> None:
    whole = Target.parse("http://pi.local:8000/v2/models/parts")
    assert Target.parse("http://pi.local:8000", "parts") == whole
    assert (whole.host, whole.port, whole.name, whole.is_here) == ("pi.local", 8000, "parts", False)
    assert Target.parse("https://[::1]/v2/models/a%2Fb/versions/2").name == "a/b"
    assert Target.parse("http://127.0.0.1/v2/models/parts").is_here
    assert Target.parse("http://localhost:1/v2/models/parts").is_here


@pytest.mark.parametrize(
    "url", ["ftp://pi/v2/models/m", "http://", "http://pi:99999/v2/models/m", "http://pi/other", "http://pi:8000"]
)
def test_a_url_that_names_no_model_is_refused(url: str) -> None:
    with pytest.raises(OptionError):
        Target.parse(url)


def test_two_names_for_one_model_are_refused() -> None:
    with pytest.raises(OptionError, match="--model other"):
        Target.parse("http://pi/v2/models/parts", "other")


def test_tensors_have_the_shapes_and_types_of_the_metadata(server: OipServer, client: Client) -> None:
    client.ask_tensors(client.metadata())
    client()
    client()
    assert server.asked == [[(1, 4, 5, 3), (2,)]] * 2
    assert server.connections == 1


def test_a_picture_goes_to_predict_as_it_is(server: OipServer, client: Client) -> None:
    client.ask_picture(b"a picture")
    client()
    assert server.pictures == [b"a picture"]


def test_the_key_is_sent(server: OipServer) -> None:
    server.key = "secret"
    place = Target.parse(server.url, "parts")
    with Client(place) as stranger, pytest.raises(InferenceError, match="401 the key is not known"):
        stranger.metadata()
    with Client(place, "secret") as friend:
        assert friend.metadata()["name"] == "parts"


def test_what_the_service_says_is_the_error(server: OipServer, client: Client) -> None:
    client.ask_tensors(client.metadata())
    server.broken = True
    with pytest.raises(InferenceError, match="500 the model broke"):
        client()
    server.busy = 1
    with pytest.raises(UnavailableError, match="the queue is full") as busy:
        client()
    assert busy.value.retry_after_s == 0.0
    with Client(Target.parse(server.url, "other")) as other, pytest.raises(NotFoundError, match="no such model"):
        other.metadata()


def test_an_answer_that_is_no_metadata_is_named(server: OipServer, client: Client) -> None:
    server.garbage = True
    with pytest.raises(ModelError, match="not JSON"):
        client.metadata()


def test_an_input_that_cannot_be_made_up_asks_for_a_picture(client: Client) -> None:
    with pytest.raises(ModelError, match="input text is BYTES") as refused:
        client.ask_tensors({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}]})
    assert "--image" in refused.value.hint


def test_a_service_that_is_away_is_named() -> None:
    with serving() as gone:
        place = Target.parse(gone.url, "parts")
    with Client(place, timeout_s=5.0) as client, pytest.raises(PiaccelError, match="does not answer"):
        client.metadata()


def test_several_clients_load_a_service_and_its_refusals_are_counted(server: OipServer) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(Target.parse(server.url, "parts"))) for _ in range(3)]
        for each in clients:
            each.ask_tensors(each.metadata())
            each()
        before = len(server.asked)

        def refuse(*_: object) -> None:
            server.busy = 2

        seen = soak(clients, Plan(load_s=1.0, idle_s=0.0, row_s=0.2, sample_s=0.1), tell=refuse)
        assert server.connections == 3
    found = find(seen)
    assert 0 < found.answers <= len(server.asked) - before
    assert all("the queue is full" in text for text in seen.errors)
    assert not seen.gave_up

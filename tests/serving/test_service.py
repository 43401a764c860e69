"""The service without a transport."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from piaccel.errors import ServiceError
from piaccel.serving.messages import PictureRequest, Request, Tensor, Wish
from piaccel.serving.settings import Settings
from tests.conftest import DEMO
from tests.serving.conftest import running

GREY = np.full((1, 96, 96, 3), 0.5, np.float32)


def test_a_raw_tensor_is_answered_with_every_output(settings: Callable[..., Settings]) -> None:
    async def body() -> None:
        async with running(settings()) as service:
            spec = service.metadata("parts")["inputs"][0]
            answer = await service.infer(Request(model="parts", id="7", inputs=[Tensor.of(spec["name"], GREY)]))
            assert (answer.model, answer.version, answer.id) == ("parts", "1", "7")
            assert [tensor.shape for tensor in answer.outputs] == [(1, 12)]
            assert float(answer.outputs[0].array().sum()) == pytest.approx(1, abs=1e-3)

    asyncio.run(body())


def test_classification_gives_the_largest_with_their_labels(settings: Callable[..., Settings]) -> None:
    async def body() -> None:
        async with running(settings()) as service:
            (given,), (out,) = service.metadata("parts")["inputs"], service.metadata("parts")["outputs"]
            request = Request(model="parts", inputs=[Tensor.of(given["name"], GREY)], outputs=[Wish(out["name"], 2)])
            tensor = (await service.infer(request)).outputs[0]
            assert (tensor.datatype, tensor.shape) == ("BYTES", (1, 2))
            assert bytes(tensor.data).count(b":") == 4

    asyncio.run(body())


def test_a_picture_is_answered_with_the_task_s_result(settings: Callable[..., Settings]) -> None:
    async def body() -> None:
        picture = next(DEMO.glob("images/*")).read_bytes()
        async with running(settings()) as service:
            answer = await service.predict(PictureRequest(model="parts", image=picture, annotate=True))
            assert answer.result["kind"] == "classification"
            assert answer.picture is not None
            assert answer.picture.startswith(b"\xff\xd8")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (Request(model="nuts"), "not_found"),
        (Request(model="parts", version="9"), "not_found"),
        (Request(model="parts"), "invalid_argument"),
        (Request(model="parts", inputs=[Tensor.of("x", GREY)]), "invalid_argument"),
    ],
)
def test_what_does_not_fit_is_refused(settings: Callable[..., Settings], request_: Request, kind: str) -> None:
    async def body() -> None:
        async with running(settings()) as service:
            with pytest.raises(ServiceError) as told:
                await service.infer(request_)
            assert told.value.kind == kind
            assert "/" not in str(told.value)

    asyncio.run(body())


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_a_request_of_nan_is_the_client_s_fault(settings: Callable[..., Settings], isolation: str) -> None:
    async def body() -> None:
        async with running(settings({"isolation": isolation})) as service:
            name = service.metadata("parts")["inputs"][0]["name"]
            bad = np.where(GREY > 1, GREY, np.float32(np.nan)).astype(np.float32)
            with pytest.raises(ServiceError) as told:
                await service.infer(Request(model="parts", inputs=[Tensor.of(name, bad)]))
            assert told.value.kind == "invalid_argument"

    asyncio.run(body())

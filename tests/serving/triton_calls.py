"""NVIDIA's own client against a server: ``python triton_calls.py PORT MODEL``; says "all well", or fails.

A program of its own: tritonclient need not be installed where the tests run.
"""

import asyncio
import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def main(port: str, model: str) -> None:
    http = importlib.import_module("tritonclient.http")

    client = http.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    assert not client.is_model_ready("nuts")
    described = client.get_model_metadata(model)
    (given,), (out,) = described["inputs"], described["outputs"]
    assert client.get_model_config(model)["name"] == model
    assert client.get_model_repository_index() == [{"name": model, "version": "1", "state": "READY", "reason": ""}]
    image = np.full(given["shape"], 0.5, np.float32)

    def tensor(binary: bool = True) -> Any:
        made = http.InferInput(given["name"], image.shape, "FP32")
        made.set_data_from_numpy(image, binary_data=binary)
        return made

    answers = []
    for binary_in in (True, False):
        for binary_out in (True, False):
            for coding in (None, "gzip", "deflate"):
                answer = client.infer(
                    model,
                    [tensor(binary_in)],
                    outputs=[http.InferRequestedOutput(out["name"], binary_data=binary_out)],
                    request_id="7",
                    timeout=9_000_000,
                    priority=1,
                    request_compression_algorithm=coding,
                    response_compression_algorithm=coding,
                )
                assert answer.get_response()["id"] == "7"
                answers.append(answer.as_numpy(out["name"]))
    assert all(np.allclose(each, answers[0]) for each in answers)
    assert client.infer(model, [tensor()]).as_numpy(out["name"]).shape == (1, 12)
    classes = client.infer(model, [tensor()], outputs=[http.InferRequestedOutput(out["name"], class_count=2)])
    assert [text.count(b":") for text in classes.as_numpy(out["name"])[0]] == [2, 2]
    pending = [client.async_infer(model, [tensor()]) for _ in range(8)]
    assert all(each.get_result().as_numpy(out["name"]).shape == (1, 12) for each in pending)
    assert client.get_inference_statistics(model)["model_stats"][0]["inference_count"] > 20

    def refused(status: str, call: Callable[[], Any]) -> None:
        told = None
        try:
            call()
        except http.InferenceServerException as error:
            told = error
        assert told is not None
        assert (told.status(), bool(told.message())) == (status, True), told

    refused("404", lambda: client.infer("nuts", [tensor()]))
    refused("404", lambda: client.get_model_metadata("nuts"))
    refused("403", lambda: client.load_model(model))
    refused("501", lambda: client.get_system_shared_memory_status())
    refused("501", lambda: client.infer(model, [tensor()], sequence_id=3, sequence_start=True))
    refused("400", lambda: client.infer(model, []))
    asyncio.run(later(port, model, tensor(), out["name"]))
    print("all well")


async def later(port: str, model: str, tensor: Any, out: str) -> None:
    http = importlib.import_module("tritonclient.http.aio")

    async with http.InferenceServerClient(f"127.0.0.1:{port}") as client:
        assert await client.is_server_ready()
        assert await client.is_model_ready(model)
        answers = await asyncio.gather(*(client.infer(model, [tensor]) for _ in range(8)))
        assert all(each.as_numpy(out).shape == (1, 12) for each in answers)
        assert (await client.get_model_repository_index())[0]["state"] == "READY"


if __name__ == "__main__":
    main(*sys.argv[1:])

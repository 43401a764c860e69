"""NVIDIA's gRPC clients, sync, aio and stream: ``python triton_grpc.py HOST:PORT MODEL``; prints JSON."""

import asyncio
import importlib
import json
import queue
import sys
from typing import Any

import numpy as np


def refusal(call: Any) -> list[str]:
    """[status, message] of the error that a call must raise."""
    utils = importlib.import_module("tritonclient.utils")
    try:
        call()
    except utils.InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return []


def main(address: str, model: str) -> None:
    library = importlib.import_module("tritonclient.grpc")
    client = library.InferenceServerClient(address)
    metadata = client.get_model_metadata(model, as_json=True)
    (given,), (out,) = metadata["inputs"], metadata["outputs"]
    shape = [int(size) for size in given["shape"]]
    tensor = library.InferInput(given["name"], shape, given["datatype"])
    tensor.set_data_from_numpy(np.full(shape, 0.5, np.float32))
    said: dict[str, Any] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "unknown_ready": client.is_model_ready("nuts"),
        "server": client.get_server_metadata(as_json=True),
        "metadata": metadata,
        "config": client.get_model_config(model, as_json=True),
        "index": client.get_model_repository_index(as_json=True),
    }
    answer = client.infer(model, [tensor], request_id="7", client_timeout=20, timeout=20_000_000, priority=1)
    said["infer"] = [answer.get_response().id, list(answer.as_numpy(out["name"]).shape)]
    packed = client.infer(model, [tensor], compression_algorithm="gzip")
    said["gzip"] = list(packed.as_numpy(out["name"]).shape)
    wish = library.InferRequestedOutput(out["name"], class_count=2)
    best = client.infer(model, [tensor], outputs=[wish]).as_numpy(out["name"])
    said["classes"] = [each.decode() for each in best.ravel()]
    said["statistics"] = client.get_inference_statistics(model, as_json=True)
    answers: queue.Queue[Any] = queue.Queue()
    later = client.async_infer(model, [tensor], lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=20)
    said["async"] = [list(result.as_numpy(out["name"]).shape), str(error), later is not None]
    client.start_stream(lambda result, error: answers.put((result, error)))
    for name in (model, "nuts", model):
        client.async_stream_infer(name, [tensor])
    said["stream"] = [str(answers.get(timeout=20)[1]) for _ in range(3)]
    client.stop_stream()
    said["not_found"] = refusal(lambda: client.infer("nuts", [tensor]))
    said["no_inputs"] = refusal(lambda: client.infer(model, []))
    said["shared_memory"] = refusal(client.get_system_shared_memory_status)
    said["deadline"] = refusal(lambda: client.infer(model, [tensor], timeout=1))
    said["unload"] = refusal(lambda: client.unload_model(model)) or [client.is_model_ready(model)]
    said["load"] = refusal(lambda: client.load_model(model)) or [client.is_model_ready(model)]
    client.close()
    said["aio"] = asyncio.run(aio(address, model, tensor, out["name"]))
    print(json.dumps(said))


async def aio(address: str, model: str, tensor: Any, out: str) -> dict[str, Any]:
    library = importlib.import_module("tritonclient.grpc.aio")
    async with library.InferenceServerClient(address) as client:
        answers = await asyncio.gather(*(client.infer(model, [tensor]) for _ in range(8)))

        async def requests() -> Any:
            for _ in range(3):
                yield {"model_name": model, "inputs": [tensor]}

        streamed = [str(error) async for _, error in client.stream_infer(requests())]
        return {
            "ready": await client.is_model_ready(model),
            "shapes": [list(each.as_numpy(out).shape) for each in answers],
            "stream": streamed,
        }


if __name__ == "__main__":
    main(*sys.argv[1:])

"""KServe's own clients, REST and gRPC: ``python kserve_calls.py URL HOST:PORT MODEL``; prints JSON."""

import asyncio
import importlib
import json
import sys
from typing import Any

import numpy as np


async def calls(url: str, address: str, model: str) -> dict[str, Any]:
    library = importlib.import_module("kserve")
    client = library.InferenceRESTClient(library.RESTConfig(protocol="v2"))
    shape, values = [1, 96, 96, 3], np.full((1, 96, 96, 3), 0.5, np.float32)

    def request(binary: bool) -> Any:
        tensor = library.InferInput("serving_default_args_0", shape, "FP32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        return library.InferRequest(model, [tensor], request_id="7")

    said: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model_ready": await client.is_model_ready(url, model),
    }
    for name, binary in (("json", False), ("binary", True)):
        answer = await client.infer(url, request(binary), model_name=model)
        said[name] = [answer.id, list(answer.outputs[0].shape)]
    await client.close()
    async with library.InferenceGRPCClient(address) as other:
        answer = await other.infer(request(True))
        said["grpc"] = [answer.id, list(answer.outputs[0].shape)]
        said["grpc_ready"] = [await other.is_server_live(), await other.is_model_ready(model)]
    return said


if __name__ == "__main__":
    print(json.dumps(asyncio.run(calls(*sys.argv[1:]))))

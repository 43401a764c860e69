"""KServe's own client against a server: ``python kserve_calls.py PORT MODEL``; says "all well", or fails."""

import asyncio
import importlib
import sys

import numpy as np


async def main(port: str, model: str) -> None:
    kserve = importlib.import_module("kserve")
    wanted = importlib.import_module("kserve.protocol.infer_type").RequestedOutput
    base = f"http://127.0.0.1:{port}"
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
    assert await client.is_server_live(base)
    assert await client.is_server_ready(base)
    assert await client.is_model_ready(base, model)
    image = np.full((1, 96, 96, 3), 0.5, np.float32)
    given, out = sys.argv[3:5]
    found = []
    for binary in (True, False):
        tensor = kserve.InferInput(given, list(image.shape), "FP32")
        tensor.set_data_from_numpy(image, binary_data=binary)
        for outputs in (None, [wanted(out, {"binary_data": binary})]):
            parameters = {"binary_data_output": binary}
            asked = kserve.InferRequest(model, [tensor], request_id="9", request_outputs=outputs, parameters=parameters)
            answer = await client.infer(base, asked, model_name=model)
            assert answer.id == "9"
            found.append(answer.outputs[0].as_numpy())
    assert all(np.allclose(each, found[0]) for each in found)
    print("all well")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))

"""The network in LitServe, on an upload of the raw tensor, its fastest way in: ``litserve_app.py MODEL PORT``."""

import sys
from typing import Any

import litserve
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fastapi import Request, Response


class Net(litserve.LitAPI):  # type: ignore[misc]
    """LiteRT on one thread."""

    def setup(self, device: str) -> None:
        self._interpreter: Any = Interpreter(model_path=sys.argv[1], num_threads=1)
        self._interpreter.allocate_tensors()
        self._given = self._interpreter.get_input_details()[0]
        self._found = self._interpreter.get_output_details()[0]

    def decode_request(self, request: Request) -> Any:
        upload = request["input"]  # type: ignore[index]  # what LitServe hands over is the form of the request
        return np.frombuffer(upload.file.read(), np.uint8).reshape(self._given["shape"])

    def predict(self, picture: Any) -> Any:
        self._interpreter.set_tensor(self._given["index"], picture)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._found["index"])

    def encode_response(self, output: Any) -> Response:
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    server = litserve.LitServer(Net(api_path="/v2/models/net/infer"), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False, log_level="error")

"""The network in MLServer: ``mlserver_app.py MODEL PORT``."""

import asyncio
import sys
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Net(MLModel):  # type: ignore[misc]
    """LiteRT on one thread."""

    async def load(self) -> bool:
        self._interpreter: Any = Interpreter(model_path=sys.argv[1], num_threads=1)
        self._interpreter.allocate_tensors()
        self._given = self._interpreter.get_input_details()[0]
        self._found = self._interpreter.get_output_details()[0]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        picture = NumpyCodec.decode_input(payload.inputs[0]).astype(np.uint8, copy=False)
        self._interpreter.set_tensor(self._given["index"], picture)
        self._interpreter.invoke()
        output = NumpyCodec.encode_output("output", self._interpreter.get_tensor(self._found["index"]))
        return InferenceResponse(model_name=self.name, outputs=[output])


async def main() -> None:
    """Serve until ended."""
    port = int(sys.argv[2])
    settings = Settings(
        http_port=port, grpc_port=port + 1, metrics_port=port + 2, host="127.0.0.1", parallel_workers=0, debug=False
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name="net", implementation=Net)])


if __name__ == "__main__":
    asyncio.run(main())

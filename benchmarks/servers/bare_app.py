"""A bare ASGI app on uvicorn that takes the binary request apart and calls LiteRT: ``bare_app.py MODEL PORT``."""

import json
import sys
from typing import Any

import numpy as np
import uvicorn
from ai_edge_litert.interpreter import Interpreter

interpreter: Any = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
GIVEN, FOUND = interpreter.get_input_details()[0], interpreter.get_output_details()[0]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer every path alike."""
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["method"] == "POST":
        body = b"".join(chunks)
        header = int(dict(scope["headers"])[b"inference-header-content-length"])
        asked = json.loads(body[:header])["inputs"][0]
        interpreter.set_tensor(GIVEN["index"], np.frombuffer(body, np.uint8, offset=header).reshape(asked["shape"]))
        interpreter.invoke()
        result = interpreter.get_tensor(FOUND["index"])
        told = {"name": FOUND["name"], "shape": result.shape, "datatype": "UINT8"}
        blob = result.tobytes()
        head = json.dumps({"model_name": "net", "outputs": [{**told, "parameters": {"binary_data_size": len(blob)}}]})
        data = head.encode() + blob
        headers = [(b"inference-header-content-length", str(len(head)).encode())]
    else:
        data, headers = b"{}", []
    headers.append((b"content-length", str(len(data)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), loop="uvloop", http="httptools", log_level="error")

"""Another package's backend whose native code dies after a few inferences."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from piaccel import backends
from piaccel.backends import Availability, Backend, Options, Session
from piaccel.tensors import Array


class _Session(Session):
    def __init__(self, session: Session) -> None:
        self._session = session
        self._runs = 0
        self.inputs, self.outputs = session.inputs, session.outputs

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._runs += 1
        if self._runs > 15:
            os.kill(os.getpid(), signal.SIGSEGV)
        return self._session.run(feeds)


class Crashes(Backend):
    suffixes = (".tflite",)
    priority = 2
    modules = ("numpy",)
    install = "pip install strange"

    def _probe(self) -> Availability:
        return Availability(True, version="1.0")

    def _load(self, path: Path, options: Options) -> Session:
        litert = backends.get("litert")
        return _Session(litert.load(path, options))

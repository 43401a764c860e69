"""The models that are open: streams that want the same one share it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from piaccel import backends
from piaccel.models import Model
from piaccel.pipeline.engine import Engine
from piaccel.pipeline.gate import Gate

_log = logging.getLogger("piaccel")


@dataclass
class _Entry:
    engine: Engine
    users: int


class Pool:
    """Opens a model once for each key, and knows whose turn it is on the cores and on each accelerator."""

    def __init__(self, cores: int, borrowed: Collection[Model] = ()) -> None:
        self._cores = cores
        self._borrowed = borrowed
        """Models that are somebody else's to close."""
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._gates: dict[str, Gate] = {}

    def acquire(self, key: str, open_model: Callable[[], Model]) -> Engine:
        """Return the engine of ``key``, opened by ``open_model`` where it is not open yet."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                model = open_model()
                entry = self._entries[key] = _Entry(Engine(model, self._gate(model), model.threads), 0)
            entry.users += 1
            return entry.engine

    def release(self, engine: Engine, broken: bool = False) -> None:
        """Give an engine back; the model is closed with its last user, a broken one at once."""
        with self._lock:
            key = next((key for key, entry in self._entries.items() if entry.engine is engine), None)
            if key is None:  # broken, and closed by who found that first
                return
            entry = self._entries[key]
            entry.users -= 1
            if entry.users and not broken:
                return
            del self._entries[key]
        if engine.model in self._borrowed:
            return
        try:
            with engine.turn("closing"):
                engine.model.close()
        except Exception as error:  # noqa: BLE001 - a lost device may fail even at this; it is gone anyway
            _log.info("%s did not close: %s", engine.model.backend, error)

    def _gate(self, model: Model) -> Gate:
        """The CPU's cores are shared by threads; an accelerator runs one network at a time."""
        name = model.backend if backends.get(model.backend).accelerator else ""
        if name not in self._gates:
            self._gates[name] = Gate(max(1, model.session.depth) if name else self._cores)
        return self._gates[name]

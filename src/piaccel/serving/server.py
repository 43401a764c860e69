"""Everything that listens: REST, gRPC and metrics over one service, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from piaccel.errors import OptionError, UnavailableError
from piaccel.serving.log import Log
from piaccel.serving.service import Service
from piaccel.serving.settings import Settings
from piaccel.serving.tracing import Tracing

SWITCH_S = 0.001
"""How long a thread that loads or checks a version may keep Python's lock from requests; Python's own 5 ms shows."""


@dataclass(frozen=True)
class Addresses:
    """Where the service listens; None for what is off."""

    http: tuple[str, int]
    grpc: tuple[str, int] | None
    metrics: tuple[str, int] | None
    tls: bool

    @property
    def url(self) -> str:
        host = f"[{self.http[0]}]" if ":" in self.http[0] else self.http[0]
        return f"{'https' if self.tls else 'http'}://{host}:{self.http[1]}"


def run(settings: Settings, started: Callable[[Addresses, Service], None] = lambda addresses, service: None) -> None:
    """Serve until SIGTERM or Ctrl-C; what is under way is answered first.

    Raises OptionError for settings that must not be, UnavailableError for an address that is taken or a library that
    is missing.
    """
    try:
        import uvloop
    except ImportError as error:
        raise UnavailableError("uvicorn and uvloop are not installed", hint="pip install 'piaccel[serve]'") from error
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(min(SWITCH_S, before_s))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, started))
    finally:
        sys.setswitchinterval(before_s)


async def serve(
    settings: Settings,
    started: Callable[[Addresses, Service], None] = lambda addresses, service: None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until ``stop`` is set, or a signal comes where none is given. Liveness is answered while models load."""
    from piaccel.serving import access, rest, upkeep

    access.check_bind(settings)
    given = stop if stop is not None else asyncio.Event()
    service = Service(settings)
    keys = access.Access.of(settings)
    with contextlib.ExitStack() as sockets:
        http = sockets.enter_context(_listen(settings.server.host, settings.server.port))
        metrics = None
        if settings.server.metrics_port is not None:
            metrics = sockets.enter_context(_listen(settings.server.metrics_host, settings.server.metrics_port))
        async with contextlib.AsyncExitStack() as running:
            if stop is None:
                running.enter_context(_signals(given))
            log = running.enter_context(_logged(service))
            running.enter_context(_traced(service))
            app = rest.App(service, keys, dashboard=_dashboard(service))
            app.on_answer = log.request
            await running.enter_async_context(_uvicorn(app, http, rest.server_config(settings)))
            if metrics is not None:
                await running.enter_async_context(_uvicorn(_metrics(service), metrics, _plain()))
            await running.enter_async_context(_running(service))
            grpc = None
            if settings.server.grpc_port is not None:
                grpc = await running.enter_async_context(_grpc(service, settings, keys, log))
            await running.enter_async_context(upkeep.looked_after(service))
            addresses = Addresses(
                http.getsockname()[:2],
                None if grpc is None else (settings.server.host, grpc),
                None if metrics is None else metrics.getsockname()[:2],
                settings.server.tls_cert is not None,
            )
            started(addresses, service)
            await given.wait()
            service.draining = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UnavailableError(
            f"{host}:{port} cannot be listened on: {reason}", hint="choose another --port, or end what listens there"
        ) from error
    listening.listen(256)
    return listening


@contextlib.asynccontextmanager
async def _uvicorn(app: Any, listening: socket.socket, options: dict[str, Any]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:  # ours are handled in one place
            yield

    server = Server(uvicorn.Config(app, **options))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not task.done():
        await asyncio.sleep(0.005)
    if task.done():
        task.result()
    try:
        yield server
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def _running(service: Service) -> Any:
    try:
        await service.start()
        yield service
    finally:
        await service.stop()


@contextlib.asynccontextmanager
async def _grpc(service: Service, settings: Settings, keys: Any, log: Log) -> Any:
    try:
        from piaccel.serving import grpc_server
    except ImportError as error:
        raise OptionError(
            "grpcio is not installed", hint="pip install 'piaccel[grpc]', or turn it off with --no-grpc"
        ) from error
    server = await grpc_server.start(service, settings, keys, log.request)
    try:
        yield server.port
    finally:
        await server.stop(settings.server.drain_s)


@contextlib.contextmanager
def _logged(service: Service) -> Iterator[Log]:
    log = Log(as_json=service.settings.server.log_json)
    log.start()
    service.listeners.append(log.happening)
    try:
        yield log
    finally:
        log.stop()


@contextlib.contextmanager
def _traced(service: Service) -> Iterator[None]:
    server = service.settings.server
    service.tracing = Tracing.open(server.otlp_endpoint, server.name)
    try:
        yield
    finally:
        if service.tracing is not None:
            service.tracing.close()


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def ask(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)  # a second one does not wait
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _dashboard(service: Service) -> Any:
    if not service.settings.server.dashboard:
        return None
    from piaccel.serving.dashboard import Dashboard

    return Dashboard(service)


def _metrics(service: Service) -> Any:
    from piaccel.serving.metrics import Metrics

    return Metrics(service, triton_names=service.settings.server.triton_metrics)


def _plain() -> dict[str, Any]:
    return {
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": 75,
    }

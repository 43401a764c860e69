"""gRPC, asked by a plain channel."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel.errors import ServiceError
from piaccel.serving.access import Access, add_key
from piaccel.serving.settings import Settings
from tests.serving.conftest import running
from tests.serving.serve import clients_python, served

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

from piaccel.serving import grpc_messages, grpc_server  # noqa: E402 - needs grpc

SERVING = Path(grpc_server.__file__).parent
Call = Callable[..., Awaitable[Any]]
GREY = np.full((1, 96, 96, 3), 0.5, np.float32)


@asynccontextmanager
async def asked(settings: Settings, access: Access | None = None) -> AsyncIterator[Call]:
    """A served repository, and a function that calls it: ``await call("ModelReady", name="parts")``."""
    settings = replace(settings, server=replace(settings.server, grpc_port=0))
    async with running(settings) as service:
        server = await grpc_server.start(service, settings, access or Access())
        options = [("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:

            async def call(
                method: str,
                request: Any = None,
                *,
                service: str = grpc_messages.SERVICE,
                timeout: float | None = 20,
                metadata: Any = None,
                **fields: Any,
            ) -> Any:
                for name, asks, answers, takes_many, gives_many in grpc_messages.methods(service):
                    if name != method:
                        continue
                    given = request if request is not None else asks(**fields)
                    kind = ("stream" if takes_many else "unary") + "_" + ("stream" if gives_many else "unary")
                    stub = getattr(channel, kind)(
                        f"/{service}/{name}",
                        request_serializer=asks.SerializeToString,
                        response_deserializer=answers.FromString,
                    )
                    if gives_many:
                        return [each async for each in stub(given, timeout=timeout, metadata=metadata)]
                    return await stub(given, timeout=timeout, metadata=metadata)
                raise AssertionError(method)

            try:
                yield call
            finally:
                await server.stop(0)


def infer_request(raw: bool = True, **fields: Any) -> Any:
    request = grpc_messages.message("ModelInferRequest")(**{"model_name": "parts", "id": "7", **fields})
    request.inputs.add(name="serving_default_input:0", datatype="FP32", shape=GREY.shape)
    if raw:
        request.raw_input_contents.append(GREY.tobytes())
    else:
        request.inputs[0].contents.fp32_contents.extend(GREY.ravel().tolist())
    return request


async def named(call: Call, request: Any) -> Any:
    """The request with the input's real name."""
    found = await call("ModelMetadata", name="parts")
    request.inputs[0].name = found.inputs[0].name
    return request


async def refused(answer: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await answer
    return told.value.code().name, told.value.details()


def ask(settings: Settings, body: Callable[[Call], Awaitable[None]], access: Access | None = None) -> None:
    async def run() -> None:
        async with asked(settings, access) as call:
            await body(call)

    asyncio.run(run())


def test_the_compiled_messages_are_those_of_the_proto_files(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is not installed")
    pb = pytest.importorskip("google.protobuf.descriptor_pb2")
    out = tmp_path / "set.binpb"
    assert protoc.main(["", f"-I{SERVING}", f"--descriptor_set_out={out}", "inference.proto", "health.proto"]) == 0
    compiled, kept = (pb.FileDescriptorSet.FromString(path.read_bytes()) for path in (out, SERVING / "inference.binpb"))
    assert compiled == kept


def test_our_messages_leave_protobuf_s_own_pool_alone() -> None:
    code = (
        "from google.protobuf import descriptor_pool\n"
        "from piaccel.serving import grpc_messages\n"
        "grpc_messages.message('ModelInferRequest')\n"
        "try:\n    descriptor_pool.Default().FindMessageTypeByName('inference.ModelInferRequest')\n"
        "except KeyError:\n    print('apart')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "apart\n"


def test_health_and_metadata_are_those_of_the_service(settings: Callable[..., Settings]) -> None:
    async def body(call: Call) -> None:
        assert (await call("ServerLive")).live
        assert (await call("ServerReady")).ready
        assert (await call("ModelReady", name="parts")).ready
        assert (await call("ModelReady", name="parts", version="1")).ready
        assert not (await call("ModelReady", name="nuts")).ready
        assert "binary_tensor_data" in (await call("ServerMetadata")).extensions
        found = await call("ModelMetadata", name="parts")
        assert (found.name, list(found.versions), list(found.inputs[0].shape)) == ("parts", ["1"], [1, 96, 96, 3])
        config = (await call("ModelConfig", name="parts")).config
        assert (config.name, config.max_batch_size, config.input[0].data_type) == ("parts", 0, 11)
        index = (await call("RepositoryIndex")).models
        assert [(each.name, each.version, each.state) for each in index] == [("parts", "1", "READY")]
        health = await call("Check", service=grpc_messages.HEALTH)
        assert health.status == 1

    ask(settings(), body)


@pytest.mark.parametrize("raw", [True, False])
def test_a_tensor_is_answered_as_it_was_sent(settings: Callable[..., Settings], raw: bool) -> None:
    async def body(call: Call) -> None:
        answer = await call("ModelInfer", await named(call, infer_request(raw)))
        assert (answer.model_name, answer.model_version, answer.id) == ("parts", "1", "7")
        assert bool(answer.raw_output_contents) == raw
        if raw:
            scores = np.frombuffer(answer.raw_output_contents[0], "<f4")
        else:
            scores = np.array(answer.outputs[0].contents.fp32_contents)
        assert scores.size == 12
        assert float(scores.sum()) == pytest.approx(1, abs=1e-3)
        stats = (await call("ModelStatistics", name="parts")).model_stats[0]
        assert stats.inference_stats.success.count == stats.inference_count == 1

    ask(settings(), body)


def test_classification_gives_labels(settings: Callable[..., Settings]) -> None:
    async def body(call: Call) -> None:
        request = await named(call, infer_request())
        output = (await call("ModelMetadata", name="parts")).outputs[0].name
        wish = request.outputs.add(name=output)
        wish.parameters["classification"].int64_param = 2
        answer = await call("ModelInfer", request)
        assert answer.outputs[0].datatype == "BYTES"
        assert list(answer.outputs[0].shape) == [1, 2]

    ask(settings(), body)


def test_a_stream_answers_each_request_and_survives_a_bad_one(settings: Callable[..., Settings]) -> None:
    async def body(call: Call) -> None:
        good = await named(call, infer_request())
        bad = infer_request(model_name="nuts", id="8")

        async def requests() -> AsyncIterator[Any]:
            for each in (good, bad, good):
                yield each

        answers = await call("ModelStreamInfer", requests())
        assert [bool(each.error_message) for each in answers] == [False, True, False]
        assert answers[1].infer_response.id == "8"

    ask(settings(), body)


def spoil_count(request: Any) -> None:
    request.raw_input_contents.append(b"")


def spoil_mixed(request: Any) -> None:
    request.inputs[0].contents.fp32_contents.append(1)


def spoil_length(request: Any) -> None:
    request.raw_input_contents[0] = b"1234"


def spoil_datatype(request: Any) -> None:
    request.inputs[0].datatype = "FP128"


def spoil_field(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.int_contents.append(1)


def spoil_shape(request: Any) -> None:
    request.inputs[0].shape[0] = -1


def spoil_name(request: Any) -> None:
    request.inputs[0].name = "other"


def spoil_memory(request: Any) -> None:
    request.inputs[0].parameters["shared_memory_region"].string_param = "r"


def spoil_timeout(request: Any) -> None:
    request.parameters["timeout"].string_param = "soon"


def spoil_sequence(request: Any) -> None:
    request.parameters["sequence_id"].int64_param = 4


def spoil_path(request: Any) -> None:
    request.model_name = "../parts"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_count, "INVALID_ARGUMENT"),
        (spoil_mixed, "INVALID_ARGUMENT"),
        (spoil_length, "INVALID_ARGUMENT"),
        (spoil_datatype, "INVALID_ARGUMENT"),
        (spoil_field, "INVALID_ARGUMENT"),
        (spoil_shape, "INVALID_ARGUMENT"),
        (spoil_name, "INVALID_ARGUMENT"),
        (spoil_memory, "UNIMPLEMENTED"),
        (spoil_timeout, "INVALID_ARGUMENT"),
        (spoil_sequence, "UNIMPLEMENTED"),
        (spoil_path, "INVALID_ARGUMENT"),
    ],
)
def test_what_does_not_fit_is_refused(
    settings: Callable[..., Settings], spoil: Callable[[Any], None], code: str
) -> None:
    async def body(call: Call) -> None:
        request = await named(call, infer_request())
        spoil(request)
        found, words = await refused(call("ModelInfer", request))
        assert found == code
        assert os.getcwd() not in words

    ask(settings(), body)


def test_unknown_models_are_not_found_and_shared_memory_is_unimplemented(settings: Callable[..., Settings]) -> None:
    async def body(call: Call) -> None:
        for method in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
            assert (await refused(call(method, name="nuts")))[0] == "NOT_FOUND"
        assert (await refused(call("ModelInfer", infer_request(model_name="nuts"))))[0] == "NOT_FOUND"
        assert (await refused(call("RepositoryIndex", repository_name="other")))[0] == "UNIMPLEMENTED"
        assert (await refused(call("RepositoryModelLoad", model_name="parts")))[0] == "PERMISSION_DENIED"

    ask(settings(), body)


def test_unload_leaves_the_model_in_the_index_and_load_brings_it_back(settings: Callable[..., Settings]) -> None:
    async def body(call: Call) -> None:
        await call("RepositoryModelUnload", model_name="parts")
        assert [each.state for each in (await call("RepositoryIndex")).models] == ["UNAVAILABLE"]
        assert not (await call("ModelReady", name="parts")).ready
        await call("RepositoryModelLoad", model_name="parts")
        assert (await call("ModelReady", name="parts")).ready
        override = {"config": grpc_messages.message("ModelRepositoryParameter")(string_param="{}")}
        found = await refused(call("RepositoryModelLoad", model_name="parts", parameters=override))
        assert found[0] == "UNIMPLEMENTED"

    ask(settings(repository_api=True), body)


def test_a_message_beyond_the_limit_is_refused(settings: Callable[..., Settings]) -> None:
    async def body(call: Call) -> None:
        request = infer_request()
        request.raw_input_contents[0] = bytes(300_000)
        assert (await refused(call("ModelInfer", request)))[0] == "RESOURCE_EXHAUSTED"

    ask(settings(max_body_bytes=200_000), body)


def test_a_key_is_asked_where_there_are_keys(settings: Callable[..., Settings], tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    token = add_key(path, "line", ["infer"], rate=0.001, burst=2)

    async def body(call: Call) -> None:
        assert (await call("ServerLive")).live
        assert (await refused(call("ModelMetadata", name="parts")))[0] == "UNAUTHENTICATED"
        metadata = (("authorization", f"Bearer {token}"),)
        assert (await call("ModelMetadata", name="parts", metadata=metadata)).name == "parts"
        assert (await refused(call("RepositoryIndex", metadata=metadata)))[0] == "PERMISSION_DENIED"
        plain = (("x-api-key", token),)
        assert (await call("ModelReady", name="parts", metadata=plain)).ready
        assert (await refused(call("ModelReady", name="parts", metadata=plain)))[0] == "RESOURCE_EXHAUSTED"

    ask(settings(), body, Access(path))


def test_when_to_come_back_is_told_in_the_trailing_metadata(settings: Callable[..., Settings]) -> None:
    async def body() -> None:
        async with running(settings(grpc_port=0)) as service:

            async def busy(request: Any) -> Any:
                raise ServiceError("unavailable", "the queue is full", retry_after_s=0.25)

            service.infer = busy  # type: ignore[method-assign]
            server = await grpc_server.start(service, service.settings, Access())
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                call = channel.unary_unary(
                    f"/{grpc_messages.SERVICE}/ModelInfer",
                    request_serializer=lambda each: each.SerializeToString(),
                    response_deserializer=bytes,
                )
                with pytest.raises(grpc.aio.AioRpcError) as told:
                    await call(infer_request())
            await server.stop(0)
            assert told.value.code().name == "UNAVAILABLE"
            assert ("grpc-retry-pushback-ms", "250") in list(told.value.trailing_metadata())

    asyncio.run(body())


def client(python: str, script: str, *arguments: str) -> dict[str, Any]:
    """What a client's script says."""
    command = [python, "-P", str(Path(__file__).parent / "clients" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_kserve_s_clients_are_answered_over_rest_and_grpc(repository: Path) -> None:
    python = clients_python("kserve")
    with served(repository, grpc=True) as service:
        said = client(python, "kserve_calls.py", service.told["url"], service.told["grpc"], "parts")
    assert said == {
        "live": True,
        "ready": True,
        "model_ready": True,
        "json": ["7", [1, 12]],
        "binary": ["7", [1, 12]],
        "grpc": ["7", [1, 12]],
        "grpc_ready": [True, True],
    }


def test_tritonclient_cannot_tell_us_from_triton_over_grpc(repository: Path) -> None:
    python = clients_python("tritonclient")
    with served(repository, "--repository-api", grpc=True) as service:
        said = client(python, "triton_grpc.py", service.told["grpc"], "parts")
    assert said["live"] is said["ready"] is said["model_ready"] is True
    assert said["unknown_ready"] is False
    assert said["config"]["config"]["input"][0]["data_type"] == "TYPE_FP32"
    assert said["index"]["models"] == [{"name": "parts", "version": "1", "state": "READY"}]
    assert said["infer"] == ["7", [1, 12]]
    assert said["gzip"] == [1, 12]
    assert len(said["classes"]) == 2
    assert said["statistics"]["model_stats"][0]["inference_count"] == "3"
    assert said["async"] == [[1, 12], "None", True]
    assert said["stream"] == ["None", "unknown model 'nuts'", "None"]
    assert said["not_found"] == ["StatusCode.NOT_FOUND", "unknown model 'nuts'"]
    assert said["no_inputs"][0] == "StatusCode.INVALID_ARGUMENT"
    assert said["shared_memory"][0] == "StatusCode.UNIMPLEMENTED"
    assert said["deadline"][0] == "StatusCode.DEADLINE_EXCEEDED"
    assert (said["unload"], said["load"]) == ([False], [True])
    assert said["aio"] == {"ready": True, "shapes": [[1, 12]] * 8, "stream": ["None"] * 3}


def test_each_answer_is_told_to_who_listens_and_the_caller_s_trace_is_taken_over(
    settings: Callable[..., Settings],
) -> None:
    told: list[tuple[str, str, int, str]] = []
    traces: list[Any] = []

    async def body() -> None:
        async with running(settings(grpc_port=0)) as service:
            infer = service.infer

            async def look(request: Any) -> Any:
                traces.append(request.trace)
                return await infer(request)

            service.infer = look  # type: ignore[method-assign]

            def listen(*, model: str, version: str, status: int, request_id: str, **_: Any) -> None:
                told.append((model, version, status, request_id))

            server = await grpc_server.start(service, service.settings, Access(), listen)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                request = infer_request()
                request.inputs[0].name = service.metadata("parts")["inputs"][0]["name"]
                good = request.SerializeToString()
                request.model_version = "7"
                bad = request.SerializeToString()
                one = channel.unary_unary(f"/{grpc_messages.SERVICE}/ModelInfer")
                await one(good, timeout=20, metadata=(("traceparent", "00-1-2-01"), ("other", "x")))
                assert (await refused(one(bad, timeout=20)))[0] == "NOT_FOUND"
                many = channel.stream_stream(f"/{grpc_messages.SERVICE}/ModelStreamInfer")
                assert len([each async for each in many(iter([good, bad]), timeout=20)]) == 2
            await server.stop(0)

    asyncio.run(body())
    assert told == [("parts", "1", 200, "7"), ("parts", "7", 404, "7")] * 2
    assert traces == [{"traceparent": "00-1-2-01"}, {}, {}, {}]


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_what_goes_wrong_inside_is_not_told(settings: Callable[..., Settings], method: str) -> None:
    async def body() -> None:
        async with running(settings(grpc_port=0)) as service:

            async def broken(request: Any) -> Any:
                raise OSError("/etc/secret")

            service.infer = broken  # type: ignore[method-assign]
            server = await grpc_server.start(service, service.settings, Access())
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                data = infer_request().SerializeToString()
                path = f"/{grpc_messages.SERVICE}/{method}"
                if method == "ModelInfer":
                    answer = channel.unary_unary(path)(data, timeout=20)
                else:
                    answer = channel.stream_stream(path)(iter([data]), timeout=20).read()
                assert await refused(answer) == ("INTERNAL", "internal error")
            await server.stop(0)

    asyncio.run(body())


def test_a_client_that_goes_away_cancels_its_request_and_no_other(settings: Callable[..., Settings]) -> None:
    async def body() -> None:
        async with running(settings(grpc_port=0)) as service:
            begun, ended = asyncio.Event(), asyncio.Event()
            answer = service.infer

            async def slow(request: Any) -> Any:
                if request.id != "slow":
                    return await answer(request)
                begun.set()
                try:
                    return await asyncio.sleep(60)
                finally:
                    ended.set()

            service.infer = slow  # type: ignore[method-assign]
            server = await grpc_server.start(service, service.settings, Access())
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                call = channel.unary_unary(
                    f"/{grpc_messages.SERVICE}/ModelInfer",
                    request_serializer=lambda each: each.SerializeToString(),
                    response_deserializer=grpc_messages.message("ModelInferResponse").FromString,
                )
                going = call(infer_request(id="slow"))
                await asyncio.wait_for(begun.wait(), 20)
                going.cancel()
                await asyncio.wait_for(ended.wait(), 20)
                request = infer_request()
                request.inputs[0].name = service.metadata("parts")["inputs"][0]["name"]
                assert (await call(request, timeout=20)).id == "7"
            await server.stop(0)

    asyncio.run(body())


def test_over_tls_only_tls_is_answered(settings: Callable[..., Settings], tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    options = ["-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *options, *names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    async def body() -> None:
        async with running(settings(grpc_port=0, tls_cert=str(cert), tls_key=str(key))) as service:
            server = await grpc_server.start(service, service.settings, Access())
            trusted = grpc.ssl_channel_credentials(cert.read_bytes())
            path, empty = f"/{grpc_messages.SERVICE}/ServerLive", b""
            async with grpc.aio.secure_channel(f"localhost:{server.port}", trusted) as channel:
                assert await channel.unary_unary(path)(empty, timeout=20) == b"\x08\x01"
            async with grpc.aio.insecure_channel(f"localhost:{server.port}") as channel:
                assert (await refused(channel.unary_unary(path)(empty, timeout=20)))[0] == "UNAVAILABLE"
            await server.stop(0)

    asyncio.run(body())

"""Versions coming in, being taken back, and what is asked of them meanwhile."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from piaccel.errors import ModelError, ServiceError
from piaccel.serving.messages import PictureRequest
from piaccel.serving.runner import GoldenCheck
from piaccel.serving.service import Service
from piaccel.serving.settings import Settings
from tests.serving.control import Faults, add_version, ask, controlled, lineup, until

Make = Callable[..., Settings]
SHORT = {"probation_requests": 5, "compare_share": 1.0, "probation_slower": 1e6}
"""A probation of five requests, whatever they take: the machine may have other work."""


def run(settings: Settings, body: Callable[[Service, dict[str, Faults]], Awaitable[None]]) -> None:
    async def work() -> None:
        async with controlled(settings) as (service, faults):
            await body(service, faults)

    asyncio.run(work())


def rows(service: Service) -> dict[str, tuple[str, str, str]]:
    model = service.snapshot().models[0]
    return {each.version: (each.state, each.stage, each.reason) for each in model.versions}


async def serve_some(service: Service, count: int = 8) -> list[str]:
    return [(await ask(service)).version for _ in range(count)]


def test_the_first_version_serves_and_is_committed_at_once(settings: Make) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        assert rows(service) == {"1": ("READY", "committed", "")}
        assert service.ready()
        assert (await ask(service)).version == "1"

    run(settings(), body)


def test_a_version_dropped_in_serves_passes_its_probation_and_the_old_one_goes(
    settings: Make, repository: Path
) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        add_version(repository, "2")
        await until(lambda: lineup(service).serving == "2")
        assert rows(service)["2"][1] == "probation"
        assert rows(service)["1"][1] == "standby"
        assert await serve_some(service) == ["2"] * 8
        await until(lambda: rows(service)["2"][1] == "committed" and rows(service)["1"][0] == "UNAVAILABLE")
        assert service.snapshot().models[0].previous == "1"
        happened = [each.what for each in reversed(service.snapshot().happenings)]
        assert happened == ["promoted", "committed", "promoted", "committed"]

    run(settings(SHORT, poll_s=0.05), body)


def test_the_next_version_is_made_ready_for_pictures_where_clients_send_them(
    settings: Make, repository: Path, demo: Path
) -> None:
    picture = next((demo / "images").glob("*")).read_bytes()

    async def body(service: Service, faults: dict[str, Faults]) -> None:
        assert not lineup(service).opening(repository).pictures
        await ask(service)
        assert not lineup(service).opening(repository).pictures
        await service.predict(PictureRequest(model="parts", image=picture))
        assert lineup(service).opening(repository).pictures

    run(settings(), body)


def test_a_swap_loses_no_request_and_ready_stays_true(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        seen: set[str] = set()
        over = False

        async def client() -> None:
            while not over:
                seen.add((await ask(service)).version)
                assert service.ready()
                assert service.model_ready("parts")

        clients = [asyncio.create_task(client()) for _ in range(3)]
        for version in ("2", "3"):
            add_version(repository, version)
            await service.load("parts", version)
            await until(lambda version=version: rows(service)[version][1] == "committed")  # type: ignore[misc]
        over = True
        await asyncio.gather(*clients)
        assert seen == {"1", "2", "3"}
        assert lineup(service).loaded["3"].meter.failed == {}

    run(settings(SHORT), body)


def test_a_request_under_way_finishes_on_the_version_it_began_on(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        faults["1"].hold = asyncio.Event()
        slow = asyncio.create_task(ask(service))
        await asyncio.sleep(0.05)
        add_version(repository, "2")
        await service.load("parts", "2")
        assert (await ask(service)).version == "2"
        faults["1"].hold.set()
        assert (await slow).version == "1"

    run(settings({"probation_requests": 1, "compare_share": 0.0, "probation_slower": 1e6}), body)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            lambda faults: setattr(faults, "golden", GoldenCheck(samples=3, failed=1, reason="a.png: gear, not nut")),
            "gear",
        ),
        (lambda faults: setattr(faults, "opens_with", ModelError("no such operator")), "no such operator"),
    ],
)
def test_a_version_that_is_not_right_never_serves_and_is_put_away(
    settings: Make, repository: Path, fault: Callable[[Faults], None], reason: str
) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        fault(faults.setdefault("2", Faults()))
        add_version(repository, "2")
        with pytest.raises(ServiceError, match=reason):
            await service.load("parts", "2")
        assert await serve_some(service, 3) == ["1"] * 3
        state, stage, told = rows(service)["2"]
        assert (state, stage) == ("UNAVAILABLE", "quarantined")
        assert reason in told
        opened = faults["2"].opened
        with pytest.raises(ServiceError, match="quarantine"):
            await service.load("parts", "2")
        assert faults["2"].opened == opened
        await service.release("parts", "2")
        faults["2"].golden = faults["2"].opens_with = None
        await service.load("parts", "2")
        assert (await ask(service)).version == "2"

    run(settings(SHORT, poll_s=60.0), body)


def test_a_version_that_fails_on_probation_is_taken_back_and_its_requests_are_answered(
    settings: Make, repository: Path
) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        faults["2"] = Faults()
        faults["2"].fails_from = 3
        add_version(repository, "2")
        await service.load("parts", "2")
        answered = await serve_some(service, 4)
        assert answered[:2] == ["2", "2"]
        assert answered[2:] == ["1", "1"]
        await until(lambda: lineup(service).serving == "1")
        assert (
            rows(service)["2"][1:] == ("quarantined", "1 of 3 requests failed on probation")
            or "requests failed" in (rows(service)["2"][2])
        )
        assert rows(service)["1"][1] == "committed"

    run(settings({"probation_requests": 50, "compare_share": 0.0, "probation_slower": 1e6}, poll_s=60.0), body)


def test_a_version_that_answers_otherwise_is_taken_back(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        faults["2"] = Faults()
        faults["2"].swap_answers = True
        add_version(repository, "2")
        await service.load("parts", "2")
        while lineup(service).serving == "2":
            await ask(service)
            await asyncio.sleep(0.01)
        assert "agrees in 0%" in rows(service)["2"][2]

    run(
        settings(
            {"probation_requests": 500, "compare_share": 1.0, "agreement": 0.5, "probation_slower": 1e6}, poll_s=60.0
        ),
        body,
    )


def test_a_rollback_brings_the_version_before_back_and_it_stays(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        with pytest.raises(ServiceError, match="no version to go back to"):
            await service.rollback("parts")
        add_version(repository, "2")
        await service.load("parts", "2")
        await serve_some(service)
        await until(lambda: rows(service)["2"][1] == "committed")
        assert await service.rollback("parts") == "1"
        assert (await ask(service)).version == "1"
        await asyncio.sleep(0.3)
        assert lineup(service).serving == "1"
        assert rows(service)["2"][1:] == ("quarantined", "rolled back by the operator")

    run(settings(SHORT, poll_s=0.05), body)


def test_unload_leaves_the_index_unavailable_and_the_model_can_come_back(settings: Make) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        await service.unload("parts")
        assert not service.ready()
        assert not service.model_ready("parts")
        assert service.index() == [{"name": "parts", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
        with pytest.raises(ServiceError, match="unloaded"):
            await ask_unloaded(service)
        await service.load("parts")
        assert service.ready()
        assert (await ask(service)).version == "1"

    async def ask_unloaded(service: Service) -> None:
        service._lineup("parts").pick()

    run(settings(poll_s=0.05), body)


def test_what_is_committed_or_unloaded_survives_a_restart(settings: Make, repository: Path) -> None:
    async def first(service: Service, faults: dict[str, Faults]) -> None:
        add_version(repository, "2")
        await service.load("parts", "2")
        await serve_some(service)
        await until(lambda: rows(service)["2"][1] == "committed")

    async def second(service: Service, faults: dict[str, Faults]) -> None:
        assert lineup(service).serving == "2"
        assert service.snapshot().models[0].previous == "1"
        await service.unload("parts")

    async def third(service: Service, faults: dict[str, Faults]) -> None:
        assert lineup(service).serving == ""
        assert not service.ready()

    for body in (first, second, third):
        run(settings(SHORT, poll_s=60.0), body)


def test_a_version_that_ended_the_service_too_often_is_put_away_at_the_start(settings: Make, repository: Path) -> None:
    chosen = settings(SHORT, poll_s=60.0)

    async def body(service: Service, faults: dict[str, Faults]) -> None:
        add_version(repository, "2")
        await service.load("parts", "2")
        record = lineup(service).record
        record.attempts = 2
        lineup(service).save()
        lineup(service).record.candidate, kept = None, record.candidate
        assert kept is not None

    async def after(service: Service, faults: dict[str, Faults]) -> None:
        assert lineup(service).serving == "1"
        assert rows(service)["2"][1:] == ("quarantined", "it ended the service 2 times while it was tried")

    run(chosen, body)
    run(chosen, after)


def test_a_canary_gets_its_share_and_a_label_names_it(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        add_version(repository, "2")
        await service.label("parts", "canary", "2", 0.25)
        answered = await serve_some(service, 20)
        assert answered.count("2") == 5
        assert (await ask(service, "canary")).version == "2"
        assert (await ask(service, "stable")).version == "1"
        await service.label("parts", "canary", "")
        assert await serve_some(service, 8) == ["1"] * 8

    run(settings(poll_s=60.0), body)


def test_a_canary_that_fails_costs_no_request(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        add_version(repository, "2")
        await service.label("parts", "canary", "2", 0.5)
        faults["2"].fails_from = 0
        assert await serve_some(service, 6) == ["1"] * 6

    run(settings(poll_s=60.0), body)


def test_a_shadow_answers_beside_and_is_never_returned(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        add_version(repository, "2")
        await service.shadow("parts", "2")
        assert rows(service)["2"][1] == "shadow"
        for _ in range(6):
            assert (await ask(service)).version == "1"
            await asyncio.sleep(0.05)
        shadow = lineup(service).loaded["2"]
        await until(lambda: shadow.compared >= 3)
        assert shadow.agreed == shadow.compared
        await service.shadow("parts", "")
        await until(lambda: "2" not in lineup(service).loaded)

    run(settings({"compare_share": 1.0}, poll_s=60.0), body)


def test_policy_all_answers_every_version_and_the_highest_by_default(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        await until(lambda: set(lineup(service).loaded) == {"1", "2", "10"})
        assert (await ask(service)).version == "10"
        assert (await ask(service, "1")).version == "1"
        assert service.metadata("parts")["versions"] == ["1", "2", "10"]

    for version in ("2", "10"):
        add_version(repository, version)
    run(settings({"policy": "all"}, poll_s=0.05), body)


def test_without_memory_for_two_versions_requests_are_refused_with_a_time_to_come_back(
    settings: Make, repository: Path
) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        service._means.memory_available = lambda: 1e6
        faults["2"] = Faults()
        held = asyncio.Event()

        class Slow(Faults):
            pass

        add_version(repository, "2")
        bringing = asyncio.create_task(service.load("parts", "2"))
        await until(lambda: lineup(service).gap_until is not None and not lineup(service).loaded)
        with pytest.raises(ServiceError) as told:
            lineup(service).pick()
        assert told.value.kind == "unavailable"
        assert told.value.retry_after_s is not None
        assert service.ready()
        held.set()
        await bringing
        assert (await ask(service)).version == "2"

    run(settings(SHORT, poll_s=60.0), body)


def test_without_memory_a_bad_version_gives_way_to_the_old_one_again(settings: Make, repository: Path) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        service._means.memory_available = lambda: 1e6
        faults["2"] = Faults()
        faults["2"].opens_with = ModelError("no such operator")
        add_version(repository, "2")
        with pytest.raises(ServiceError, match="no such operator"):
            await service.load("parts", "2")
        assert (await ask(service)).version == "1"
        assert rows(service)["2"][1] == "quarantined"

    run(settings(SHORT, poll_s=60.0), body)


def test_requests_for_what_is_not_there_are_refused(settings: Make) -> None:
    async def body(service: Service, faults: dict[str, Faults]) -> None:
        for version in ("9", "canary"):
            with pytest.raises(ServiceError, match=f"no version '{version}'"):
                await ask(service, version)
        for call in (service.promote("parts", "9"), service.load("nuts")):
            with pytest.raises(ServiceError) as told:
                await call
            assert told.value.kind == "not_found"

    run(settings(poll_s=60.0), body)


def test_a_bare_model_file_is_a_version_too(settings: Make, repository: Path, demo: Path) -> None:
    async def body() -> None:
        service = Service(settings({"variant": None, "isolation": "process"}))
        await service.start()
        try:
            assert service.ready(), service.reasons()
            assert (await ask(service)).parameters["variant"] == "fp32.tflite"
        finally:
            await service.stop()

    shutil.rmtree(repository / "parts" / "1")
    (repository / "parts" / "1").mkdir()
    shutil.copy(demo / "bundle" / "fp32.tflite", repository / "parts" / "1")
    asyncio.run(body())

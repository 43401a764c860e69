"""A bad version never stays: whatever is wrong with it, the version before goes on serving, and the index says why."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.errors import ServiceError
from piaccel.serving.messages import PictureRequest
from piaccel.serving.service import Service
from piaccel.serving.settings import ModelSettings, ServerSettings, Settings
from tests.serving import candidates
from tests.serving.candidates import BAD, Signer

pytest.importorskip("cryptography")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", autouse=True)
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with candidates.fragile_backend(tmp_path_factory.mktemp("site")):
        yield


@pytest.mark.parametrize("name", list(BAD))
def test_a_bad_version_is_put_away_and_the_one_before_serves(demo: Path, tmp_path: Path, name: str) -> None:
    candidate = BAD[name]
    repository = tmp_path / "models"
    signer = Signer.new(tmp_path / "key") if candidate.refused_by == "signature" else None
    candidates.good(demo, repository / "parts" / "2", signer)
    settings = Settings(
        repository=repository,
        server=ServerSettings(poll_s=60, settle_s=0.05, trusted_keys=(signer.public,) if signer else ()),
        defaults=ModelSettings(backend=candidate.backend, variant=candidate.variant, threads=1, hang_s=120.0),
    )
    picture = (demo / "images" / "gear_good.jpg").read_bytes()

    async def body() -> None:
        service = Service(settings)
        await service.start()
        try:
            assert service.ready(), service.reasons()
            candidates.bad(name, demo, repository / "parts" / "3", signer)
            with pytest.raises(ServiceError) as told:
                await service.load("parts", "3")
            assert told.value.kind == "invalid_argument"
            assert str(tmp_path) not in str(told.value)
            assert (await service.predict(PictureRequest(model="parts", image=picture))).version == "2"
            (row,) = [row for row in service.index() if row["version"] == "3"]
            assert row["state"] == "UNAVAILABLE"
            assert candidate.reason in row["reason"]
            assert service.ready()
        finally:
            await service.stop()

    asyncio.run(body())

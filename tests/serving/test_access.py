"""Keys, scopes, quotas and addresses."""

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from piaccel.errors import ModelError, NotFoundError, OptionError, PiaccelError, ServiceError
from piaccel.serving import access
from piaccel.serving.access import Access
from piaccel.serving.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def kind(check: Callable[[], str]) -> str:
    with pytest.raises(ServiceError) as told:
        check()
    return told.value.kind


def test_a_key_is_kept_as_its_hash_in_a_file_of_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    token = access.add_key(path, "line1", ["infer", "read"], rate=5)
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Access(path).check(token, ["infer"]) == "line1"
    assert len({access.new_key() for _ in range(50)}) == 50


def test_keys_are_added_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    tokens = [access.add_key(path, name) for name in ("a", 'b "quoted"', "ü")]
    path.write_text("# kept\n" + path.read_text())
    path.chmod(0o600)
    tokens.append(access.add_key(path, "d", ["admin"]))
    assert path.read_text().startswith("# kept\n")
    found = Access(path)
    assert [found.check(token, ["infer"]) for token in tokens] == ["a", 'b "quoted"', "ü", "d"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [("a", {}, "already"), ("b", {"scopes": ["root"]}, "scopes"), ("b", {"rate": -1}, "rate"), ("", {}, "name")],
)
def test_a_key_that_cannot_be_is_not_added(tmp_path: Path, name: str, more: dict[str, object], said: str) -> None:
    path = tmp_path / "keys.toml"
    access.add_key(path, "a")
    before = path.read_bytes()
    with pytest.raises(OptionError, match=said):
        access.add_key(path, name, **more)  # type: ignore[arg-type]
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.toml"
    access.add_key(path, "a")
    path.chmod(mode)
    with pytest.raises(OptionError, match="every user") as told:
        Access(path)
    assert told.value.hint.startswith("chmod 600")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("keys = 3", OptionError),
        ("other = 3", OptionError),
        ("[[keys]]\nname = 'a'\nsha256 = 'zz'\nscopes = ['infer']", OptionError),
        ("[[keys]]\nname = 'a'\nsha256 = '" + "a" * 64 + "'\nscopes = []", OptionError),
        ("[[keys]]\nname = 'a'\nsha256 = '" + "a" * 64 + "'\nscopes = ['infer']\nrate = nan", OptionError),
        ("[[keys]]\nname = 'a'\nsha256 = '" + "a" * 64 + "'\nscopes = ['infer']\npassword = 'x'", OptionError),
        (("[[keys]]\nname = 'a'\nsha256 = '" + "a" * 64 + "'\nscopes = ['infer']\n") * 2, OptionError),
        ("[[", ModelError),
        ("\udcff", ModelError),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, text: str, error: type[PiaccelError]) -> None:
    path = tmp_path / "keys.toml"
    path.write_bytes(os.fsencode(text))
    path.chmod(0o600)
    with pytest.raises(error) as told:
        Access(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Access(tmp_path / "none.toml")


def test_scopes_are_held_and_admin_holds_all(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    infer, read, admin = (access.add_key(path, scope, [scope]) for scope in access.SCOPES)
    found = Access(path)
    assert found.check(infer, ["infer", "read"]) == "infer"
    assert kind(lambda: found.check(infer, ["admin"])) == "permission_denied"
    assert kind(lambda: found.check(read, ["infer"])) == "permission_denied"
    assert found.check(admin, ["infer"]) == found.check(admin, ["admin"]) == "admin"
    for wrong in (None, "", infer[:-1], infer + "x", "ü", b"\xff"):
        assert kind(partial(found.check, wrong, ["infer"])) == "unauthenticated"
    assert found.check(None, []) == ""


def test_a_quota_runs_out_and_comes_back(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.toml", Clock()
    token = access.add_key(path, "a", rate=2, burst=3)
    other = access.add_key(path, "b")
    found = Access(path, clock=clock)
    for _ in range(3):
        found.check(token, ["infer"])
    with pytest.raises(ServiceError) as told:
        found.check(token, ["infer"])
    assert (told.value.kind, told.value.retry_after_s) == ("resource_exhausted", 0.5)
    found.check(other, ["infer"])
    clock.now += 0.5
    found.check(token, ["infer"])
    assert kind(lambda: found.check(token, ["infer"])) == "resource_exhausted"


def test_a_key_taken_out_of_the_file_is_refused_and_its_quota_survives_a_new_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.toml", Clock()
    gone, kept = access.add_key(path, "gone"), access.add_key(path, "kept", rate=0.001, burst=1)
    found = Access(path, clock=clock)
    found.check(gone, ["infer"])
    found.check(kept, ["infer"])
    tables = path.read_text().split("\n\n")
    path.write_text(tables[1])
    clock.now += 3
    assert kind(lambda: found.check(gone, ["infer"])) == "unauthenticated"
    assert kind(lambda: found.check(kept, ["infer"])) == "resource_exhausted"


def test_a_file_that_became_broken_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "keys.toml", Clock()
    token = access.add_key(path, "a")
    found = Access(path, clock=clock)
    path.write_text("[[")
    clock.now += 3
    assert found.check(token, ["infer"]) == "a"
    path.unlink()
    clock.now += 3
    assert found.check(token, ["infer"]) == "a"
    assert "the keys stay as they were" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.7", "pi.local", "127.0.0.1.example.com"])
def test_nothing_listens_beyond_this_machine_without_keys_and_tls(
    settings: Callable[..., Settings], host: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    both = {"tls_cert": str(file), "tls_key": str(file)}
    for given, lacks in (({}, "keys and no TLS"), ({"keys": "k"}, "no TLS"), (both, "no keys")):
        with pytest.raises(OptionError, match=lacks) as told:
            access.check_bind(settings(host=host, **given))
        assert "--insecure" in told.value.hint
    access.check_bind(settings(host=host, insecure=True))
    access.check_bind(settings(host=host, keys="k", **both))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_this_machine_may_be_listened_on(settings: Callable[..., Settings], host: str) -> None:
    access.check_bind(settings(host=host))


def test_the_default_is_loopback(settings: Callable[..., Settings]) -> None:
    assert access.is_loopback(settings().server.host)


def test_half_a_tls_configuration_is_refused(settings: Callable[..., Settings], tmp_path: Path) -> None:
    for given in ({"tls_cert": "c"}, {"tls_key": "k"}, {"tls_cert": "c", "tls_key": str(tmp_path / "none")}):
        with pytest.raises(OptionError):
            access.check_bind(settings(**given))

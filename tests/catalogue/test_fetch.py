"""Files over HTTP, against real servers that fail in every way a network does."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.catalogue.entries import RemoteFile
from piaccel.catalogue.fetch import Network, fetch
from piaccel.errors import ChecksumError, OptionError, UnavailableError, WriteError
from tests.catalogue.conftest import NETWORK, file_at
from tests.catalogue.sites import Site, proxying, serving

QUICK = Network(pause_s=0.001, timeout_s=10)
PATH = "/org/net.tflite"


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_its_progress_is_told(site: Site, tmp_path: Path) -> None:
    told: list[int] = []
    path = fetch(file_at(site.url + PATH), tmp_path, QUICK, lambda file, done: told.append(done))
    assert path.read_bytes() == NETWORK
    assert left(tmp_path) == ["net.tflite"]
    assert told[0] == 0
    assert told[-1] == len(NETWORK)
    assert told == sorted(told)


def test_what_is_here_and_right_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    file = file_at(site.url + PATH)
    fetch(file, tmp_path, QUICK)
    fetch(file, tmp_path, QUICK)
    assert len(site.asked) == 1
    (tmp_path / "net.tflite").write_bytes(b"damaged")
    assert fetch(file, tmp_path, QUICK).read_bytes() == NETWORK
    assert len(site.asked) == 2


@pytest.mark.parametrize(("etag", "modified"), [('"one"', ""), ("", "Mon, 02 Nov 2026 10:00:00 GMT")])
def test_a_connection_that_is_cut_is_gone_on_with_where_it_ended(
    site: Site, tmp_path: Path, etag: str, modified: str
) -> None:
    site.etag, site.modified, site.cuts = etag, modified, [200_000, 100_000]
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert site.starts() == [0, 200_000, 300_000]


def test_a_later_call_goes_on_with_what_an_earlier_one_left(site: Site, tmp_path: Path) -> None:
    file = file_at(site.url + PATH)
    site.cuts = [150_000]
    with pytest.raises(UnavailableError, match="the connection ended after 150000 of 682180 bytes") as refused:
        fetch(file, tmp_path, Network(tries=1))
    assert "goes on from there" in refused.value.hint
    assert (tmp_path / "net.tflite.part").read_bytes() == NETWORK[:150_000]
    assert fetch(file, tmp_path, QUICK).read_bytes() == NETWORK
    assert site.starts() == [0, 150_000]
    assert left(tmp_path) == ["net.tflite"]


def test_a_server_without_ranges_sends_all_of_it_again(site: Site, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [200_000]
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert [asked for _, asked in site.asked] == [None, "bytes=200000-"]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_strong_validator_a_part_is_not_gone_on_with(site: Site, tmp_path: Path, etag: str) -> None:
    site.etag, site.cuts = etag, [200_000]
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert site.starts() == [0, 0]


def test_a_file_that_changed_between_two_parts_is_loaded_from_its_start(site: Site, tmp_path: Path) -> None:
    other = bytes(reversed(NETWORK))
    site.files[PATH] = other
    site.cuts = [200_000]
    with pytest.raises(UnavailableError):
        fetch(file_at(site.url + PATH), tmp_path, Network(tries=1))
    site.files[PATH], site.etag = NETWORK, '"two"'
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert site.asked[-1][1] == "bytes=200000-"


def test_parts_that_do_not_belong_together_are_loaded_once_more(site: Site, tmp_path: Path) -> None:
    """The server changed the file and kept its ETag, or the disk lost a block at a power cut."""
    site.cuts = [200_000]
    file = file_at(site.url + PATH)
    with pytest.raises(UnavailableError):
        fetch(file, tmp_path, Network(tries=1))
    (tmp_path / "net.tflite.part").write_bytes(bytes(200_000))
    assert fetch(file, tmp_path, QUICK).read_bytes() == NETWORK
    assert site.starts() == [0, 200_000, 0]


@pytest.mark.parametrize("wrong", ["416", "another range"])
def test_a_server_that_has_not_the_rest_is_asked_for_all(site: Site, tmp_path: Path, wrong: str) -> None:
    site.cuts = [200_000]
    with pytest.raises(UnavailableError):
        fetch(file_at(site.url + PATH), tmp_path, Network(tries=1))
    if wrong == "416":
        site.statuses = [416]
    else:
        site.shifts = [7]
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert site.starts() == [0, 200_000, 0]


def test_a_part_that_is_longer_than_the_file_is_forgotten(site: Site, tmp_path: Path) -> None:
    (tmp_path / "net.tflite.part").write_bytes(NETWORK * 2)
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK


def test_a_part_that_is_whole_needs_no_server(site: Site, tmp_path: Path) -> None:
    (tmp_path / "net.tflite.part").write_bytes(NETWORK)
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert not site.asked


def test_a_wrong_hash_removes_the_part_and_names_both(site: Site, tmp_path: Path) -> None:
    wrong = bytes(reversed(NETWORK))
    site.files[PATH] = wrong
    with pytest.raises(ChecksumError) as refused:
        fetch(file_at(site.url + PATH), tmp_path, QUICK)
    assert hashlib.sha256(wrong).hexdigest() in str(refused.value)
    assert hashlib.sha256(NETWORK).hexdigest() in str(refused.value)
    assert left(tmp_path) == []


def test_a_file_of_another_size_is_refused_before_it_comes(site: Site, tmp_path: Path) -> None:
    site.files[PATH] = b"<html>please log in to this network</html>"
    with pytest.raises(ChecksumError, match="has 42 bytes, the catalogue states 682180"):
        fetch(file_at(site.url + PATH), tmp_path, QUICK)
    assert left(tmp_path) == []


def test_a_file_without_end_is_stopped_at_the_stated_size(site: Site, tmp_path: Path) -> None:
    site.files[PATH], site.length = NETWORK * 20, False
    with pytest.raises(ChecksumError, match="larger than the 682180 bytes"):
        fetch(file_at(site.url + PATH), tmp_path, QUICK)
    assert left(tmp_path) == []


def test_a_server_that_is_busy_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.statuses, site.headers = [503, 429, 500], {"Retry-After": "0"}
    told: list[str] = []
    network = Network(pause_s=0.001, tell=told.append)
    assert fetch(file_at(site.url + PATH), tmp_path, network).read_bytes() == NETWORK
    assert len(site.asked) == 4
    assert [each.partition("it answers ")[2][:3] for each in told] == ["503", "429", "500"]
    assert told[2].endswith("once more in 0.004 s")


def test_a_server_that_stays_busy_is_given_up_after_some_tries(site: Site, tmp_path: Path) -> None:
    site.statuses = [503] * 20
    with pytest.raises(UnavailableError, match="it answers 503"):
        fetch(file_at(site.url + PATH), tmp_path, Network(pause_s=0.001, tries=3))
    assert len(site.asked) == 3
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_file_that_is_gone_is_not_asked_for_twice(site: Site, tmp_path: Path, status: int) -> None:
    site.statuses = [status] * 9
    with pytest.raises(UnavailableError, match=f"it answers {status}"):
        fetch(file_at(site.url + PATH), tmp_path, QUICK)
    assert len(site.asked) == 1


def test_the_next_address_is_asked_where_one_fails(site: Site, tmp_path: Path) -> None:
    gone = f"{site.url}/gone"
    file = file_at(site.url + PATH)
    file = RemoteFile(name=file.name, urls=(gone, *file.urls), size=file.size, sha256=file.sha256)
    assert fetch(file, tmp_path, QUICK).read_bytes() == NETWORK
    assert [path for path, _ in site.asked] == ["/gone", PATH]


def test_the_next_address_is_asked_where_one_gives_a_wrong_file(site: Site, tmp_path: Path) -> None:
    site.files["/page"], site.length = bytes(len(NETWORK)), False
    told: list[str] = []
    file = file_at(site.url + PATH)
    file = RemoteFile(name=file.name, urls=(f"{site.url}/page", *file.urls), size=file.size, sha256=file.sha256)
    assert fetch(file, tmp_path, Network(tell=told.append)).read_bytes() == NETWORK
    assert "the catalogue states" in told[0]
    assert "the next address is asked" in told[0]
    site.files[PATH] = b""
    (tmp_path / file.name).unlink()
    with pytest.raises(ChecksumError, match=file.sha256):
        fetch(file, tmp_path, QUICK)
    assert left(tmp_path) == []


def test_all_addresses_are_named_where_none_gives_it(site: Site, tmp_path: Path) -> None:
    file = file_at(site.url + PATH)
    file = RemoteFile(name=file.name, urls=(f"{site.url}/a", f"{site.url}/b"), size=file.size, sha256=file.sha256)
    with pytest.raises(UnavailableError, match=r"/a: it answers 404 .*; .*/b: it answers 404"):
        fetch(file, tmp_path, QUICK)


def test_a_silent_server_is_left_alone_and_the_part_kept(site: Site, tmp_path: Path) -> None:
    site.stall_after = 100_000
    with pytest.raises(UnavailableError, match=r"it was silent for 0\.2 s"):
        fetch(file_at(site.url + PATH), tmp_path, Network(timeout_s=0.2, tries=1))
    assert (tmp_path / "net.tflite.part").read_bytes() == NETWORK[:100_000]
    site.stall_after = None
    site.released.set()
    assert fetch(file_at(site.url + PATH), tmp_path, QUICK).read_bytes() == NETWORK
    assert site.starts() == [0, 100_000]


def test_a_server_that_only_drips_is_left_alone_too(site: Site, tmp_path: Path) -> None:
    site.drip_s = 0.02
    slow = Network(timeout_s=10, patience_s=0.2, slowest_bytes_s=10_000, tries=1)
    with pytest.raises(UnavailableError, match=r"it sent \d+ bytes in"):
        fetch(file_at(site.url + PATH), tmp_path, slow)


def test_a_redirect_is_followed_and_a_loop_is_not(site: Site, tmp_path: Path) -> None:
    site.redirects = {"/old": PATH, "/loop": "/pool", "/pool": "/loop"}
    assert fetch(file_at(f"{site.url}/old"), tmp_path, QUICK).read_bytes() == NETWORK
    with pytest.raises(UnavailableError, match="which is not followed any more"):
        fetch(file_at(f"{site.url}/loop", name="other.tflite"), tmp_path, QUICK)
    assert len(site.asked) < 12


def test_a_long_chain_of_redirects_ends(site: Site, tmp_path: Path) -> None:
    site.redirects = {f"/{step}": f"/{step + 1}" for step in range(100)}
    with pytest.raises(UnavailableError, match="which is not followed any more"):
        fetch(file_at(f"{site.url}/0"), tmp_path, QUICK)
    assert len(site.asked) <= 6


def test_a_redirect_to_a_file_of_this_machine_is_refused(site: Site, tmp_path: Path) -> None:
    site.redirects = {"/old": "file:///etc/passwd"}
    with pytest.raises(UnavailableError, match="file:///etc/passwd"):
        fetch(file_at(f"{site.url}/old"), tmp_path, QUICK)
    assert left(tmp_path) == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost that nobody trusts."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        capture_output=True,
        check=True,
    )
    whole = folder / "both.pem"
    whole.write_text((folder / "key.pem").read_text() + (folder / "certificate.pem").read_text())
    return whole


def test_https_never_sends_on_to_http(
    site: Site, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    with serving(Site({PATH: NETWORK}, redirects={"/down": site.url + PATH}), certificate) as safe:
        with pytest.raises(UnavailableError, match="its certificate is not trusted: self-signed certificate"):
            fetch(file_at(safe.url + PATH), folder, QUICK)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(file_at(safe.url + PATH), folder, Network()).read_bytes() == NETWORK
        with pytest.raises(UnavailableError, match=r"sends on to http://.* which is not https"):
            fetch(file_at(f"{safe.url}/down", name="down.tflite"), folder, Network())
    assert not site.asked


def test_nobody_at_the_address_is_said_with_what_to_try(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="Connection refused") as refused:
        fetch(file_at("http://127.0.0.1:9/net.tflite"), tmp_path, Network(pause_s=0.001, tries=2))
    assert "HTTPS_PROXY" in refused.value.hint
    assert left(tmp_path) == []


def test_a_proxy_is_asked_and_no_proxy_is_not(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with proxying(asked) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        fetch(file_at(site.url + PATH), tmp_path, Network())
        assert asked == [site.url + PATH]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        fetch(file_at(site.url + PATH, name="again.tflite"), tmp_path, Network())
        assert asked == [site.url + PATH]
        assert len(site.asked) == 2


def test_https_goes_through_the_tunnel_of_a_proxy(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    asked: list[str] = []
    with serving(Site({PATH: NETWORK}), certificate) as safe, proxying(asked) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        assert fetch(file_at(safe.url + PATH), tmp_path, Network()).read_bytes() == NETWORK
        assert asked == [safe.url.removeprefix("https://")]


def test_a_mirror_is_asked_for_the_same_path_and_nobody_else(tmp_path: Path) -> None:
    with serving(Site({"/copy/org/net.tflite": NETWORK})) as mirror:
        network = Network(mirror=f"{mirror.url}/copy/", pause_s=0.001)
        file = file_at("https://nowhere.invalid/org/net.tflite")
        assert fetch(file, tmp_path, network).read_bytes() == NETWORK
    assert network.address("https://a.example/x/y?lite-format=tflite") == f"{mirror.url}/copy/x/y?lite-format=tflite"


@pytest.mark.parametrize("mirror", ["/srv/models", "ftp://mirror.example"])
def test_what_is_no_mirror_is_refused(mirror: str) -> None:
    with pytest.raises(OptionError, match="is not an address"):
        Network(mirror=mirror)


def test_a_mirror_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(OptionError, match="holds a user or a password") as refused:
        Network(mirror="https://me:secret@mirror.example")
    assert "secret@" not in str(refused.value) + refused.value.hint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_without_room_is_said_before_anything_is_asked(site: Site, small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(600_000))
    with pytest.raises(WriteError, match=r"MB free, net\.tflite needs 0\.7 MB"):
        fetch(file_at(site.url + PATH), small_disk, QUICK)
    assert not site.asked


def test_a_disk_that_fills_up_keeps_what_came(site: Site, small_disk: Path) -> None:
    other = small_disk / "other"

    def fill(file: RemoteFile, done: int) -> None:
        if done and not other.exists():
            other.write_bytes(bytes(500_000))

    with pytest.raises(WriteError, match="No space left on device"):
        fetch(file_at(site.url + PATH), small_disk, QUICK, fill)
    kept = (small_disk / "net.tflite.part").stat().st_size
    assert kept > 0
    other.unlink()
    assert fetch(file_at(site.url + PATH), small_disk, QUICK).read_bytes() == NETWORK
    assert site.starts()[-1] == kept


def test_a_folder_that_cannot_be_written_is_said(site: Site, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(WriteError, match=os.strerror(errno.EROFS)):
        fetch(file_at(site.url + PATH), small_disk, QUICK)
    assert not site.asked

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from piaccel.errors import InputError, NotFoundError, OptionError
from piaccel.images import find_images, read_image, write_image

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8), (90, 60))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff", ".ppm"])
def test_a_written_picture_is_read_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Größe 像 {suffix}"
    write_image(path, IMAGE)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - IMAGE).mean() < (3 if suffix == ".webp" else 1e-9)


def test_a_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    red = np.full((32, 32, 3), (200, 30, 10), np.uint8)
    write_image(tmp_path / "red.jpg", red)
    assert np.abs(read_image(tmp_path / "red.jpg").astype(int) - red).max() < 8


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", IMAGE)
    blob = data.tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6: turn right
    path = tmp_path / "turned.jpg"
    path.write_bytes(blob[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + blob[2:])
    assert read_image(path).shape == (90, 60, 3)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_alpha_and_16_bit_pictures_become_uint8_rgb(
    tmp_path: Path, shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    level = np.array(200 if dtype is np.uint8 else 200 * 257, dtype)
    _, data = cv2.imencode(".png", np.full(shape, level))
    (tmp_path / "x.png").write_bytes(data.tobytes())
    read = read_image(tmp_path / "x.png")
    assert read.shape == (20, 30, 3)
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - 200).max() <= 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_named_in_one_line(
    tmp_path: Path, suffix: str, part: float, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    write_image(whole, IMAGE)
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
    with pytest.raises(InputError, match=r"^[^\n]*cut[^\n]*truncated[^\n]*$"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_what_is_no_picture_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "noise.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(NotFoundError, match=r"gone\.jpg: no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match=r"empty\.jpg: the file is empty"):
        read_image(tmp_path / "empty.jpg")
    with pytest.raises(InputError, match=r"noise\.jpg: not a picture"):
        read_image(tmp_path / "noise.jpg")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_image(tmp_path)


def test_an_unknown_suffix_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"writes no \.xyz pictures"):
        write_image(tmp_path / "a.xyz", IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_gives_its_pictures_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    alone = tmp_path / "notes.txt"
    assert find_images([tmp_path, alone]) == [tmp_path / "a.png", tmp_path / "b.JPG", alone]


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures in this folder"):
        find_images([tmp_path])


def test_a_picture_may_come_through_a_pipe(tmp_path: Path) -> None:
    write_image(tmp_path / "red.png", np.full((8, 8, 3), (255, 0, 0), np.uint8))
    reader, writer = os.pipe()
    os.write(writer, (tmp_path / "red.png").read_bytes())
    os.close(writer)
    assert read_image(f"/dev/fd/{reader}")[0, 0].tolist() == [255, 0, 0]
    os.close(reader)


def test_a_missing_picture_is_named_before_any_is_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.jpg"):
        find_images([tmp_path / "gone.jpg"])

"""The AI Camera, played by a fake of picamera2: frames come with their results, and each failure says what mends it."""

import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import piaccel
from piaccel import backends, models, packing, picamera
from piaccel.backends import Backend, CameraSession, Options
from piaccel.backends import _imx500_camera as camera
from piaccel.backends._imx500_injection import tensor
from piaccel.backends.imx500 import IMX500Options, _geometry, _region
from piaccel.errors import InferenceError, ModelError, OptionError, PiaccelError, UnavailableError
from piaccel.models import Model
from piaccel.tasks import Classification, Detections, Mask
from piaccel.tensors import Array
from piaccel.testing import imx500
from piaccel.testing.compliance import BackendCompliance, open_in_this_process
from tests.formats import rpks, samples

BACKEND = backends.get("imx500")
BOXES = [[8, 16, 40, 48], [0, 0, 64, 64], [1, 1, 2, 2], [0, 0, 0, 0], [0, 0, 0, 0]]
FOUND = (BOXES, [0.9, 0.6, 0.1, 0.0, 0.0], [1, 0, 0, 0, 0], [3])


@pytest.fixture
def fake() -> Iterator[imx500.Settings]:
    with imx500.fake() as settings:
        yield settings


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return rpks.write(tmp_path / "net.rpk")


def opened(path: Path, *options: str) -> Model:
    return models.load(path, "imx500", options=options)


def first(path: Path, *options: str) -> tuple[piaccel.Frame, piaccel.tasks.Result]:
    with opened(path, *options) as model:
        return next(model.stream())


class TestCompliance:
    """What every backend promises, as far as it does not feed the network."""

    name = "imx500"
    backend = BackendCompliance.backend
    test_listed = BackendCompliance.test_it_is_listed_with_a_suffix_a_priority_and_a_command_that_installs_it
    test_light = BackendCompliance.test_looking_it_up_loads_no_runtime
    test_travels = BackendCompliance.test_its_options_travel_to_a_child_process
    test_no_thread = BackendCompliance.test_no_thread_at_all_is_refused
    test_foreign = BackendCompliance.test_a_foreign_file_is_refused_in_one_line
    test_missing = BackendCompliance.test_a_missing_file_is_named
    options = None

    def test_another_backend_s_options_are_refused(self, net: Path) -> None:
        class Strange(Options):
            pass

        with pytest.raises(OptionError, match="Strange"):
            BACKEND.load(net, Strange())

    @pytest.mark.parametrize("damage", ["truncated", "random", "empty", "text"])
    def test_a_broken_file_is_named_in_one_line(self, fake: object, net: Path, damage: str) -> None:
        whole = net.read_bytes()
        noise = np.random.default_rng(1).bytes(len(whole))
        kinds = {"truncated": whole[: len(whole) // 2], "random": noise, "empty": b"", "text": b"not a network\n"}
        net.write_bytes(kinds[damage])
        with pytest.raises(ModelError, match=str(net)):
            open_in_this_process("imx500", net)

    def test_nothing_is_printed(self, fake: object, net: Path, capfd: pytest.CaptureFixture[str]) -> None:
        first(net)
        assert capfd.readouterr() == ("", "")


class TestPicturesAreAnswered(BackendCompliance):
    """What every backend promises, with the option that gives pictures to the network."""

    name = "imx500"
    options = IMX500Options(inject=True)

    @pytest.fixture(autouse=True)
    def plugged_in(self) -> Iterator[None]:
        with imx500.fake():
            yield

    def model(self, folder: Path) -> Path:
        return rpks.write(folder / "net.rpk", (8, 32), (4,), intrinsics=None)

    def feeds(self) -> dict[str, Array]:
        image = np.zeros((1, 8, 32, 3), np.uint8)
        image[..., 0], image[..., 1], image[0, :4, :, 2] = 10, 200, 100
        return {"input": image}

    def expected(self) -> dict[str, Array]:
        return {"output0": np.array([[10 - 128, 200 - 128 + 1, 50 - 128 + 2, 10 - 128 + 3]], np.float32)}

    def test_two_sessions_do_not_disturb_each_other(self, backend: Backend, path: Path) -> None:
        with backend.load(path, self.options) as first:
            with pytest.raises(UnavailableError, match="cannot be opened"):
                backend.load(path, self.options)
            first.run(self.feeds())

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_number_of_threads_does_not_change_the_answer(self, backend: Backend, path: Path, threads: int) -> None:
        with backend.load(path, IMX500Options(threads=threads, inject=True)) as session:
            self._assert_right(session.run(self.feeds()))


def test_a_picture_that_the_sensor_missed_is_given_again(net: Path) -> None:
    with imx500.fake(missed_pictures=2), opened(net, "inject=true") as model:
        assert isinstance(model.predict(np.zeros((8, 8, 3), np.uint8)), Classification)


def test_a_picture_that_is_never_answered_is_given_up(net: Path) -> None:
    options = ("inject=true", "frame_timeout_s=0.1", "upload_timeout_s=0.2")
    said = r"did not answer a picture within 0\.2 s"
    with (
        imx500.fake(missed_pictures=10**9),
        opened(net, *options) as model,
        pytest.raises(InferenceError, match=said) as caught,
    ):
        model.predict(np.zeros((8, 8, 3), np.uint8))
    assert "rate=10" in caught.value.hint


def test_a_picamera2_that_takes_no_pictures_says_so(net: Path) -> None:
    with imx500.fake(injects=False), pytest.raises(UnavailableError, match="cannot give pictures") as caught:
        opened(net, "inject=true")
    assert "full-upgrade" in caught.value.hint


def test_a_tensor_is_laid_out_as_the_sensor_keeps_it() -> None:
    image = np.arange(3 * 33 * 3, dtype=np.uint8).reshape(3, 33, 3)
    planes = np.frombuffer(tensor(image, {"dtype": "signed", "input_format": "RGB"}), np.int8).reshape(3, 4, 64)
    np.testing.assert_array_equal(planes[1, :3, :33], image[..., 1].astype(int) - 128)
    assert not planes[:, 3:].any()
    assert not planes[:, :, 33:].any()
    swapped = np.frombuffer(tensor(image, {"dtype": "unsigned", "input_format": "BGR"}), np.uint8).reshape(3, 4, 64)
    np.testing.assert_array_equal(swapped[0, :3, :33], image[..., 2])


def test_a_frame_arrives_with_its_result(fake: object, net: Path) -> None:
    with opened(net) as model:
        frame, result = next(model.stream())
        assert model.status.answered == {"imx500": 1}
        assert model.guesses == []
    assert isinstance(result, Classification)
    assert result.backend == "imx500"
    assert [ranked.label for ranked in result.top(3)] == ["bent", "scratched", "good"]  # logits 2, 3, 4
    assert result.scores.sum() == pytest.approx(1)
    assert frame.image.shape == (480, 640, 3)


def test_the_colours_of_a_frame_are_red_green_and_blue(fake: object, net: Path) -> None:
    frame, _ = first(net)
    assert tuple(frame.image[-1, -1]) == imx500.COLOUR


def test_the_program_in_the_docs_runs(
    fake: object, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(net.parent)
    page = (Path(__file__).parents[2] / "docs" / "imx500.md").read_text(encoding="utf-8")
    exec(page.partition("```python\n")[2].partition("```")[0], {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 31
    assert lines[0].startswith("0  17.0")


def test_picture_and_result_are_of_one_request(fake: object, net: Path) -> None:
    with opened(net) as model:
        session = model.session
        assert isinstance(session, CameraSession)
        for shot in itertools.islice(session.shots(), 4):
            assert shot.outputs is not None
            assert shot.frame.image[0, 0, 2] == shot.outputs["output0"][0, 0]


def test_the_frames_before_the_first_answer_are_not_waited_for_again(net: Path) -> None:
    with imx500.fake(silent_frames=20), opened(net) as model:
        assert [frame.index for frame, _ in itertools.islice(model.stream(), 3)] == [0, 1, 2]


def test_frames_without_a_result_are_left_out_and_counted(net: Path) -> None:
    with imx500.fake(silent_frames=0, silent_every=3), opened(net) as model, model.stream() as stream:
        indices = [frame.index for frame, _ in itertools.islice(stream, 5)]
        assert indices == [0, 1, 3, 4, 6]  # the first answer was in the sensor's frame 1
        assert (stream.answered, stream.unanswered) == (5, 2)


def test_the_index_counts_dropped_frames(net: Path) -> None:
    with imx500.fake(dropped=(4, 5, 6)), opened(net) as model:
        assert [frame.index for frame, _ in itertools.islice(model.stream(), 4)] == [0, 1, 5, 6]


def test_the_time_of_exposure_is_the_sensor_s(fake: object, net: Path) -> None:
    before = time.monotonic_ns()
    with opened(net) as model:
        stamps = [frame.exposed_ns for frame, _ in itertools.islice(model.stream(), 2)]
    assert stamps[0] is not None
    assert stamps[1] is not None
    assert stamps[0] >= before
    assert stamps[1] - stamps[0] == 33_333_000


def test_the_sensor_s_own_times_come_with_each_frame(fake: object, net: Path) -> None:
    with opened(net) as model, model.stream() as stream:
        next(stream)
        assert stream.timing_ms == {"dnn_ms": 17.0, "dsp_ms": 2.5}


def test_the_outputs_are_in_c_order_with_a_batch_and_the_specs_learn_their_shapes(tmp_path: Path) -> None:
    path = rpks.write(tmp_path / "net.rpk", counts=(6, 2), intrinsics=None)
    with imx500.fake(shapes=((2, 3), (2,))), BACKEND.load(path) as session:
        assert isinstance(session, CameraSession)
        outputs = next(session.shots()).outputs
        assert [spec.shape for spec in session.outputs] == [(1, 2, 3), (1, 2)]
    assert outputs is not None
    assert outputs["output0"].tolist() == [[[2, 3, 4], [5, 6, 7]]]
    assert outputs["output0"].flags.c_contiguous


def test_a_detector_s_boxes_are_in_frame_pixels(tmp_path: Path) -> None:
    path = rpks.detector(tmp_path / "net.rpk", input_aspect_ratio={"width": 4, "height": 3})
    with imx500.fake(answers=FOUND):
        _, result = first(path)
    assert isinstance(result, Detections)
    assert [result.labels[i] for i in result.class_id] == ["cat", "person"]
    np.testing.assert_allclose(result.xyxy, [[80, 120, 400, 360], [0, 0, 640, 480]], rtol=1e-6)


def test_a_detector_that_sees_the_middle_of_the_sensor_has_its_boxes_there(tmp_path: Path) -> None:
    with imx500.fake(answers=FOUND):
        _, result = first(rpks.detector(tmp_path / "net.rpk"))
    assert isinstance(result, Detections)
    side = 640 * 3040 / 4056
    left = (640 - side) / 2
    np.testing.assert_allclose(result.xyxy[1], [left, 0, left + side, 480], atol=0.5)


def test_boxes_of_0_to_1_with_y_first_are_read_too(tmp_path: Path) -> None:
    unit = ([[0.25, 0.5, 0.75, 1.0]], [0.9], [0], [1])
    path = rpks.detector(tmp_path / "net.rpk", boxes=1, cpu={}, input_aspect_ratio={"width": 4, "height": 3})
    with imx500.fake(answers=unit):
        _, result = first(path)
    assert isinstance(result, Detections)
    np.testing.assert_allclose(result.xyxy, [[320, 120, 640, 360]])


def test_a_segmentation_is_at_the_frame_s_size(tmp_path: Path) -> None:
    mask = np.zeros((30, 40))
    mask[:, 20:] = 7
    path = rpks.write(tmp_path / "net.rpk", (30, 40), (1200,), {"task": "segmentation"})
    with imx500.fake(answers=(mask.tolist(),)):
        _, result = first(path)
    assert isinstance(result, Mask)
    assert result.class_id.shape == (480, 640)
    assert set(result.class_id[:, :310].flat) == {0}
    assert set(result.class_id[:, 330:].flat) == {7}


def test_a_frame_that_shows_a_part_of_the_sensor_maps_to_it() -> None:
    geometry = _geometry((480, 640, 3), (100, 100), (0, 0, 4056, 3040), (1014, 760, 2028, 1520))
    corners = geometry.to_frame(np.array([[25, 25], [75, 75], [50, 50]], np.float32))
    np.testing.assert_allclose(corners, [[0, 0], [640, 480], [320, 240]], atol=1e-3)


@pytest.mark.parametrize(("size", "region"), [((100, 100), (508, 0, 3040, 3040)), ((4056, 760), (0, 1140, 4056, 760))])
def test_the_region_that_keeps_a_ratio_is_in_the_middle(size: tuple[int, int], region: tuple[int, ...]) -> None:
    assert _region(*size) == region


def test_a_stream_ends_when_the_model_is_closed(fake: object, net: Path) -> None:
    model = opened(net)
    stream = model.stream()
    next(stream)
    model.close()
    assert list(stream) == []


def test_the_camera_is_free_again_when_the_model_is_closed(fake: object, net: Path) -> None:
    first(net)
    first(net)


def test_a_picture_cannot_be_fed(fake: object, net: Path) -> None:
    with opened(net) as model, pytest.raises(InferenceError, match="only to what its own camera sees") as caught:
        model.predict(np.zeros((8, 8, 3), np.uint8))
    assert "model.stream()" in caught.value.hint
    assert "--option inject=true" in caught.value.hint


def test_a_model_without_a_camera_has_no_stream(tmp_path: Path) -> None:
    path = samples.tflite(tmp_path / "net.tflite")
    model = models.load(path, "litert", task="classification")
    with model, pytest.raises(OptionError, match="litert has no camera of its own") as caught:
        model.stream()
    assert "predict" in caught.value.hint


def test_auto_takes_the_camera_where_nothing_else_fits(fake: object, net: Path) -> None:
    with piaccel.load(net) as model:
        assert model.backend == "imx500"
        next(model.stream())


def test_a_bundle_takes_what_the_file_tells_without_an_answer(fake: object, net: Path, tmp_path: Path) -> None:
    manifest, guessed = packing.pack([net], tmp_path / "bundle")
    assert manifest.task == {"family": "classification", "softmax": True}
    assert guessed == []
    with piaccel.load(tmp_path / "bundle") as model:
        _, result = next(model.stream())
    assert result.lines()[0].endswith("bent")
    assert [check.error for check in packing.check(model.bundle)] == [None, None]


def test_naming_the_backend_starts_no_camera_in_a_child(net: Path) -> None:
    with imx500.fake(silent_frames=-1), piaccel.load(net, "imx500") as model:
        assert model.backend == "imx500"


@pytest.mark.parametrize("option", ["rate=0", "upload_timeout_s=-1", "frame_timeout_s=0"])
def test_a_time_of_nothing_is_refused(net: Path, option: str) -> None:
    with pytest.raises(OptionError, match=option.partition("=")[0]):
        opened(net, option)


def test_options_reach_the_camera(fake: object, net: Path) -> None:
    frame, _ = first(net, "frame_size=120x160")
    assert frame.image.shape == (120, 160, 3)
    assert IMX500Options(rate=5).rate == 5


def test_the_upload_is_announced_and_its_progress_told(net: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "piaccel")
    with imx500.fake(upload_s=1.0):
        first(net)
    texts = [record.getMessage() for record in caplog.records]
    assert texts[0] == "uploading net.rpk to the camera; the first time takes minutes, later it is kept there"
    assert any(text.startswith("uploading the network: ") for text in texts)


def test_an_upload_whose_progress_cannot_be_read_goes_on(net: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "piaccel")
    with imx500.fake(upload_s=0.5, tells_progress=False):
        first(net)
    assert "does not tell how far the upload is" in caplog.text


def test_a_network_that_never_answers_is_given_up(net: Path) -> None:
    with imx500.fake(silent_frames=-1), pytest.raises(UnavailableError, match=r"no answer within 0\.1 s") as caught:
        first(net, "upload_timeout_s=0.1")
    assert "upload_timeout_s=1200" in caught.value.hint


@pytest.mark.parametrize(("loss", "said"), [("silence", "no frame within 0.2 s"), ("error", "frontend has timed out")])
def test_a_camera_that_is_lost_while_it_runs_is_reported(net: Path, loss: str, said: str) -> None:
    with imx500.fake(lost_after=5, loss=loss), opened(net, "frame_timeout_s=0.2") as model:
        stream = model.stream()
        assert len(list(itertools.islice(stream, 3))) == 3
        with pytest.raises(InferenceError, match=said) as caught:
            next(stream)
    assert "ribbon cable" in caught.value.hint


def refused(path: Path, **settings: object) -> PiaccelError:
    with imx500.fake(**settings), pytest.raises(UnavailableError) as caught:
        opened(path)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def test_a_camera_that_is_busy_names_who_holds_it(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "another program has it" in str(refused(net, busy=True))
    holder = tmp_path / "proc" / "812"
    (holder / "fd").mkdir(parents=True)
    (holder / "fd" / "7").symlink_to("/dev/media2")
    (holder / "comm").write_text("rpicam-vid\n")
    monkeypatch.setattr(picamera.holders, "__defaults__", (tmp_path / "proc",))
    error = refused(net, busy=True)
    assert str(error) == "the camera cannot be opened: it is held by rpicam-vid (812)"
    assert error.hint == "end that program first: sudo kill 812"


def test_a_second_session_finds_the_camera_busy(fake: object, net: Path) -> None:
    with opened(net), pytest.raises(UnavailableError, match="cannot be opened"):
        opened(net)


def test_a_sensor_without_its_device_node_is_not_there(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "FIRMWARE", tmp_path / "main.fpk")
    assert "reboot" in refused(net, bound=False).hint
    assert str(refused(net, bound=False)) == "the AI Camera's firmware is not installed"
    (tmp_path / "main.fpk").touch()
    error = refused(net, bound=False)
    assert str(error) == "no AI Camera is connected"
    assert "rpicam-hello --list-cameras" in error.hint


def test_a_camera_that_may_not_be_opened_names_the_group(net: Path) -> None:
    error = refused(net, denied="/dev/v4l-subdev2")
    assert "/dev/v4l-subdev2" in str(error)
    assert "usermod -aG video" in error.hint
    old = refused(net, denied="/sys/kernel/debug/imx500-fw:10-001a/fw_progress")
    assert "debugfs" in str(old)
    assert "full-upgrade" in old.hint


def test_a_network_that_the_driver_does_not_take_is_named(net: Path) -> None:
    error = refused(net, firmware_error="[Errno 22] Invalid argument")
    assert "does not take the network: [Errno 22] Invalid argument" in str(error)
    assert "imx500-all" in error.hint


def test_another_camera_id_is_not_found(fake: object, net: Path) -> None:
    with pytest.raises(UnavailableError):
        opened(net, "camera=i2c@9")


def test_a_camera_of_another_age_than_its_file_is_reported(net: Path) -> None:
    with imx500.fake(answers=([1.0], [2.0])), pytest.raises(InferenceError, match="gives 2 outputs, the file states 1"):
        first(net)


def test_the_probe_finds_the_camera(fake: object) -> None:
    found = BACKEND.probe()
    assert found.ok
    assert found.devices == ("/base/soc/i2c0mux/i2c@1/imx500@1a",)


def test_the_probe_says_that_another_camera_is_connected(tmp_path: Path) -> None:
    with imx500.fake(cameras=("imx708",)):
        found = BACKEND.probe()
    assert (found.ok, found.state) == (False, "no device")
    assert found.reason.endswith("(there is imx708)")
    assert found.hint


@pytest.mark.parametrize(
    ("broken", "said", "remedy"),
    [
        ("numpy", "another NumPy", "pip install --upgrade simplejpeg"),
        ("libcamera", "apt only", "--system-site-packages"),
    ],
)
def test_a_picamera2_that_does_not_import_is_reported_with_the_cure(
    net: Path, broken: str, said: str, remedy: str
) -> None:
    with imx500.fake(import_error=broken):
        found = BACKEND.probe()
    assert (found.ok, found.state) == (False, "broken")
    assert said in found.reason
    assert remedy in found.hint
    assert remedy in refused(net, import_error=broken).hint


def test_without_picamera2_the_command_is_told_and_a_venv_that_hides_it(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(BACKEND), "modules", ("picamera2_that_is_not_there",))
    monkeypatch.setattr(picamera, "SYSTEM_PACKAGES", tmp_path)
    assert BACKEND.probe().state == "not installed"
    assert BACKEND.probe().hint == "sudo apt install imx500-all python3-picamera2"
    (tmp_path / "picamera2").mkdir()
    assert "/usr/bin/python3 -m venv --system-site-packages" in BACKEND.probe().hint
    with pytest.raises(UnavailableError, match="not installed"):
        BACKEND.load(net)

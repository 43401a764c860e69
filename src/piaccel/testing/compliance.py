"""The tests that every backend passes, ours and other packages': subclass ``BackendCompliance`` and run pytest.

class TestLiteRT(BackendCompliance):
    name = "litert"

    def model(self, folder): ...      # write a small network
    def feeds(self): ...              # inputs for it
    def expected(self): ...           # what it answers to them
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from piaccel import backends, isolation
from piaccel.backends import Availability, Backend, Options, Session
from piaccel.errors import InferenceError, InputError, ModelError, NotFoundError, OptionError
from piaccel.tensors import Array

OPENING_TIMEOUT_S = 60.0


class BackendCompliance(ABC):
    """What a backend promises. Where the runtime does not work the tests that need it skip, with the reason."""

    name: ClassVar[str]
    """The backend's name."""
    options: ClassVar[Options | None] = None
    """Options that the small network needs; None for the backend's defaults."""
    tolerance: ClassVar[float] = 1e-4
    """The largest difference from ``expected`` in any element."""

    @abstractmethod
    def model(self, folder: Path) -> Path:
        """Write a small network into ``folder`` and return its file."""

    @abstractmethod
    def feeds(self) -> dict[str, Array]:
        """Inputs for the network; the same at each call."""

    @abstractmethod
    def expected(self) -> dict[str, Array]:
        """What the network answers to ``feeds``, by name and in the order of its outputs."""

    @pytest.fixture
    def backend(self) -> Backend:
        return backends.get(self.name)

    @pytest.fixture
    def working(self) -> Availability:
        found = _probed(self.name)
        if not found.ok:
            pytest.skip(f"{self.name} does not work here: {found.reason}")
        return found

    @pytest.fixture
    def path(self, tmp_path: Path, working: Availability) -> Path:
        return self.model(tmp_path)

    @pytest.fixture
    def session(self, backend: Backend, path: Path) -> Iterator[Session]:
        with backend.load(path, self.options) as session:
            yield session

    def test_it_is_listed_with_a_suffix_a_priority_and_a_command_that_installs_it(self, backend: Backend) -> None:
        assert self.name in backends.names()
        assert backend.name == self.name
        assert backend.suffixes
        assert all(suffix.startswith(".") for suffix in backend.suffixes)
        assert isinstance(backend.priority, int)
        assert backend.install

    def test_looking_it_up_loads_no_runtime(self, backend: Backend) -> None:
        modules = [module.partition(".")[0] for module in backend.modules]
        script = f"import sys; from piaccel import backends; backends.get({self.name!r}); print(*sys.modules)"
        loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert not set(modules) & set(loaded.split())

    def test_a_probe_says_what_works_or_how_to_mend_it(self) -> None:
        found = _probed(self.name)
        if found.ok:
            assert found.devices
            assert not found.reason
        else:
            assert found.reason
            assert "\n" not in found.reason
            assert found.hint

    def test_its_options_travel_to_a_child_process(self, backend: Backend) -> None:
        options = self.options or backend.options()
        assert pickle.loads(pickle.dumps(options)) == options

    def test_the_specs_describe_what_goes_in_and_out(self, session: Session) -> None:
        feeds, expected = self.feeds(), self.expected()
        assert [spec.name for spec in session.inputs] == list(feeds)
        assert [spec.name for spec in session.outputs] == list(expected)
        assert all(spec.fits(feeds[spec.name].shape) for spec in session.inputs)
        assert all(spec.fits(expected[spec.name].shape) for spec in session.outputs)
        assert all(spec.dtype == expected[spec.name].dtype for spec in session.outputs)

    def test_the_answer_is_right(self, session: Session) -> None:
        self._assert_right(session.run(self.feeds()))

    def test_the_same_input_gives_the_same_answer(self, session: Session) -> None:
        first, second = session.run(self.feeds()), session.run(self.feeds())
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name])

    def test_the_caller_owns_the_answer(self, backend: Backend, path: Path) -> None:
        session = backend.load(path, self.options)
        feeds = self.feeds()
        first = session.run(feeds)
        session.run({name: np.zeros_like(array) for name, array in feeds.items()})
        for array in feeds.values():
            array[...] = 0
        session.close()
        self._assert_right(first)
        for value in first.values():
            value[...] = 0

    def test_the_caller_keeps_the_input(self, session: Session) -> None:
        feeds = self.feeds()
        session.run(feeds)
        for name, array in self.feeds().items():
            np.testing.assert_array_equal(feeds[name], array)

    def test_an_input_buffer_may_be_filled_again(self, session: Session) -> None:
        feeds, right = self.feeds(), self.feeds()
        for array in feeds.values():
            array[...] = 0
        session.run(feeds)
        for name, array in feeds.items():
            array[...] = right[name]
        self._assert_right(session.run(feeds))

    def test_an_input_may_be_read_only(self, session: Session) -> None:
        feeds = self.feeds()
        for array in feeds.values():
            array.setflags(write=False)
        self._assert_right(session.run(feeds))

    def test_an_input_may_lie_anyhow_in_memory(self, session: Session) -> None:
        self._assert_right(session.run({name: np.asfortranarray(array) for name, array in self.feeds().items()}))

    def test_a_missing_input_is_named(self, session: Session) -> None:
        feeds = self.feeds()
        name, _ = feeds.popitem()
        self._assert_refused(session, feeds, name)

    def test_an_unknown_input_is_named(self, session: Session) -> None:
        self._assert_refused(session, {**self.feeds(), "nobody": np.zeros(1, np.float32)}, "nobody")

    def test_a_wrong_shape_is_named(self, session: Session) -> None:
        feeds = self.feeds()
        name, array = feeds.popitem()
        self._assert_refused(session, {**feeds, name: array[None]}, name)

    def test_a_wrong_dtype_is_named(self, session: Session) -> None:
        feeds = self.feeds()
        name, array = feeds.popitem()
        self._assert_refused(session, {**feeds, name: array.astype(np.complex128)}, name)

    def test_what_is_no_array_is_named(self, session: Session) -> None:
        feeds = self.feeds()
        name, array = feeds.popitem()
        self._assert_refused(session, {**feeds, name: array.tolist()}, name)

    def test_it_works_after_an_input_was_refused(self, session: Session) -> None:
        with pytest.raises(InputError):
            session.run({})
        self._assert_right(session.run(self.feeds()))

    def test_a_closed_session_says_so_and_closes_again(self, session: Session) -> None:
        session.close()
        session.close()
        with pytest.raises(InferenceError, match="closed"):
            session.run(self.feeds())

    def test_two_sessions_do_not_disturb_each_other(self, backend: Backend, path: Path) -> None:
        with backend.load(path, self.options) as first, backend.load(path, self.options) as second:
            second.run({name: np.zeros_like(array) for name, array in self.feeds().items()})
            self._assert_right(first.run(self.feeds()))
            first.close()
            self._assert_right(second.run(self.feeds()))

    def test_it_runs_in_another_thread(self, session: Session) -> None:
        answers: list[dict[str, Array]] = []
        thread = threading.Thread(target=lambda: answers.append(session.run(self.feeds())))
        thread.start()
        thread.join()
        self._assert_right(answers[0])

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_number_of_threads_does_not_change_the_answer(self, backend: Backend, path: Path, threads: int) -> None:
        options = Options(threads=threads)
        with backend.load(path, options) as session:
            self._assert_right(session.run(self.feeds()))

    def test_no_thread_at_all_is_refused(self, backend: Backend) -> None:
        with pytest.raises(OptionError, match="threads"):
            backend.options(threads=0)

    def test_another_backend_s_options_are_refused(self, backend: Backend, path: Path) -> None:
        class Strange(Options):
            pass

        with pytest.raises(OptionError, match="Strange"):
            backend.load(path, Strange())

    def test_nothing_is_printed(self, backend: Backend, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with backend.load(path, self.options) as session:
            session.run(self.feeds())
        assert capfd.readouterr() == ("", "")

    def test_what_it_opens_it_accepts(self, backend: Backend, path: Path) -> None:
        assert backend.accepts(path)
        assert backend.refusal(path) == ""

    def test_a_foreign_file_is_refused_in_one_line(self, backend: Backend, tmp_path: Path) -> None:
        foreign = tmp_path / "model.unheard-of"
        foreign.write_bytes(b"?")
        assert not backend.accepts(foreign)
        assert len(backend.refusal(foreign).splitlines()) == 1
        with pytest.raises(ModelError, match=r"model\.unheard-of"):
            backend.load(foreign)

    def test_a_missing_file_is_named(self, backend: Backend, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="absent"):
            backend.load(tmp_path / f"absent{backend.suffixes[0]}")

    @pytest.mark.parametrize("damage", ["truncated", "random", "empty", "text"])
    def test_a_broken_file_is_named_in_one_line(self, path: Path, damage: str) -> None:
        whole = path.read_bytes()
        noise = np.random.default_rng(1).bytes(len(whole))
        kinds = {"truncated": whole[: len(whole) // 2], "random": noise, "empty": b"", "text": b"not a network\n"}
        path.write_bytes(kinds[damage])
        with pytest.raises(ModelError) as caught:  # in a child: a runtime that dies of it fails this test only
            isolation.call(f"{__name__}:open_in_this_process", self.name, path, timeout=OPENING_TIMEOUT_S)
        assert str(path) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1

    def _assert_right(self, outputs: dict[str, Array]) -> None:
        expected = self.expected()
        assert list(outputs) == list(expected)
        for name, value in expected.items():
            assert outputs[name].dtype == value.dtype
            np.testing.assert_allclose(
                outputs[name].astype(np.float64), value.astype(np.float64), rtol=0, atol=self.tolerance
            )

    def _assert_refused(self, session: Session, feeds: dict[str, Array], name: str) -> None:
        with pytest.raises(InputError) as caught:
            session.run(feeds)
        assert repr(name) in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@cache
def _probed(name: str) -> Availability:
    return backends.get(name).probe()


def open_in_this_process(name: str, path: Path) -> None:
    """Open a file without the shelter of a child; what the child itself calls."""
    backends.get(name).load(path).close()

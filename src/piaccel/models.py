"""A model ready to answer: a bundle's variant in a backend, with its preprocessing and its task."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from piaccel import backends, bundles, config, formats, tasks
from piaccel.backends import Options, Session
from piaccel.bundles import Bundle, Variant
from piaccel.errors import ModelError, OptionError, PiaccelError, UnavailableError
from piaccel.frames import Colour, Frame, Geometry, Preprocess, Preprocessor, Resize
from piaccel.stream import Stream
from piaccel.tensors import Array, TensorSpec

__all__ = ["Bundle", "Model", "Overrides", "Status", "Variant", "candidates", "load", "open_model"]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What the caller knows of a model better than its file or manifest; None leaves it as it is."""

    task: str | None = None
    """A family of ``piaccel.tasks``, or a kind of result such as "detection"."""
    task_options: Mapping[str, Any] | None = None
    labels: str | os.PathLike[str] | Sequence[str] | None = None
    """A file with one label a line, or the labels."""
    size: tuple[int, int] | None = None
    """(height, width) of the input."""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    colour: Colour | None = None
    resize: Resize | None = None

    def read_labels(self) -> tuple[str, ...] | None:
        if self.labels is None:
            return None
        if isinstance(self.labels, str | os.PathLike):
            return bundles.read_labels(Path(self.labels))
        return tuple(self.labels)

    def apply(self, preprocess: Preprocess) -> Preprocess:
        names = ("size", "mean", "std", "colour", "resize")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(preprocess, **given)


@dataclass(frozen=True)
class Status:
    """Who answers, and whether that is who should. Counts are of frames since the model was loaded."""

    backend: str
    """'' while nobody answers."""
    wanted: str
    """The backend that should answer: the first of the fallback list, or the only one."""
    reason: str = ""
    """Why the wanted backend does not answer; '' while it does."""
    retry_in_s: float | None = None
    """When the wanted backend is tried again; None while it answers, or while it is being tried."""
    answered: Mapping[str, int] = field(default_factory=dict)
    """Frames that each backend answered."""
    retried: int = 0
    """Frames whose backend failed and that another answered."""
    failed: int = 0
    """Frames that nobody answered: ``predict`` raised."""

    @property
    def degraded(self) -> bool:
        """Whether another backend than the wanted one answers."""
        return self.backend != self.wanted


class Model:
    """One network with everything between a frame and its result. Not for use from several threads at once.

    ``why`` says in a sentence why this variant and backend were taken; ``guesses`` what no manifest told.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        backend: str,
        session: Session,
        overrides: Overrides,
        *,
        threads: int | None = None,
        why: str = "",
    ) -> None:
        self.bundle = bundle
        self.variant = variant
        self.backend = backend
        self.session = session
        self.threads = threads or Options().thread_count
        self.why = why
        self.guesses: list[str] = []
        self._answered = 0
        self._input = _image_input(variant, session.inputs)
        labels = overrides.read_labels()
        self.labels = bundle.labels if labels is None else labels
        outputs = self._learn_outputs(overrides)
        self.task = self._choose_task(overrides, outputs)
        self.preprocessing = self._choose_preprocess(overrides)
        self._prepare = Preprocessor(self.preprocessing)
        self._tensor = np.empty(self.preprocessing.shape, self.preprocessing.dtype)
        self._quantized = {
            spec.name: spec.quantization
            for spec in session.outputs
            if spec.quantization is not None and spec.dtype.kind in "iu"
        }

    def predict(self, frame: NDArray[np.uint8] | Frame) -> tasks.Result:
        """Answer one picture, uint8 (H, W, 3) RGB or a Frame.

        Raises InputError for anything else, InferenceError when the runtime fails,
        ModelError when outputs or labels do not fit the task.
        """
        image = frame.image if isinstance(frame, Frame) else frame
        feeds, geometry = self.preprocess(image)
        return self.answer(self.infer(feeds), geometry)

    def predict_batch(self, frames: Iterable[NDArray[np.uint8] | Frame]) -> list[tasks.Result]:
        """Answer several pictures, in order."""
        return [self.predict(frame) for frame in frames]

    def preprocess(self, image: NDArray[np.uint8]) -> tuple[dict[str, Array], Geometry]:
        """Return the session's feeds; the input buffer is the model's own and is overwritten by the next call."""
        _, geometry = self._prepare(image, self._tensor)
        return {self._input.name: self._tensor}, geometry

    def infer(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network and return its outputs, dequantized to float32 where they are quantized."""
        outputs = self.session.run(feeds)
        for name, quantization in self._quantized.items():
            outputs[name] = quantization.dequantize(outputs[name])
        return outputs

    def postprocess(self, outputs: Mapping[str, Array], geometry: Geometry) -> tasks.Result:
        """Turn dequantized outputs into the task's result in frame pixels."""
        result = self.task.decode(outputs, geometry, self.labels)
        object.__setattr__(result, "backend", self.backend)  # frozen for everybody else
        return result

    def answer(self, outputs: Mapping[str, Array], geometry: Geometry) -> tasks.Result:
        """Do what ``postprocess`` does and count the frame as answered."""
        result = self.postprocess(outputs, geometry)
        self._answered += 1
        return result

    def ready(self) -> None:
        """Called before a frame by whoever runs the steps itself: a model with a fallback may change its backend."""

    def hand_on(self, error: PiaccelError) -> None:
        """Told that the runtime failed: take another backend, so that the frame can be tried again, or raise."""
        raise error

    def stream(self) -> Stream:
        """Yield frames with their results, for a device with a camera of its own; raises OptionError for others."""
        return Stream(self)

    @property
    def status(self) -> Status:
        """Who answers and how often."""
        return Status(self.backend, self.backend, answered={self.backend: self._answered})

    def close(self) -> None:
        """Give back what the runtime holds. Idempotent."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Model {self.bundle.name} variant {self.variant.name} on {self.backend}>"

    def _learn_outputs(self, overrides: Overrides) -> tuple[TensorSpec, ...]:
        """Return the outputs with their true shapes; a runtime that tells none is run once on zeros."""
        outputs = self.session.outputs
        if not any(None in spec.shape for spec in outputs):
            return outputs
        preprocess = self.bundle.preprocess_of(self.variant)
        stated = overrides.size or (preprocess.size if preprocess else None)
        shape = _fixed_shape(self.variant, self._input, stated)
        zeros = self.session.run({self._input.name: np.zeros(shape, self._input.dtype)})
        return tuple(replace(spec, shape=zeros[spec.name].shape) for spec in outputs)

    def _choose_task(self, overrides: Overrides, outputs: Sequence[TensorSpec]) -> tasks.Task:
        options = dict(overrides.task_options or {})
        if overrides.task is None and self.bundle.task is not None:
            return _with_options(self.bundle.task, options)
        inputs = self.session.inputs
        if overrides.task is not None:
            return config.options(tasks.get(tasks.resolve(overrides.task, inputs, outputs)), (), **options)
        family = tasks.recognise(inputs, outputs)
        if family is None:
            shapes = ", ".join(f"{spec.name} {spec.shape_text}" for spec in outputs)
            raise ModelError(
                f"{self.variant.path}: outputs {shapes} do not look like any task piaccel knows",
                hint=f"name the task with --task, one of {', '.join(tasks.names())}",
            )
        self.guesses.append(f"task {family} (from the outputs)")
        return config.options(tasks.get(family), (), **options)

    def _choose_preprocess(self, overrides: Overrides) -> Preprocess:
        stated = self.bundle.preprocess_of(self.variant)
        base = stated
        if base is None:
            spec = self._input
            if overrides.size is not None:
                spec = _resized(spec, overrides.size)
            _fixed_shape(self.variant, spec, None)
            base = type(self.task).usual_preprocess(spec)
        chosen = overrides.apply(base).for_input(self._input)
        if overrides.size not in (None, chosen.size):
            raise OptionError(
                f"{self.variant.path}: its input is {_size_text(chosen.size)}, not {_size_text(overrides.size)}",
                hint="leave the size out: the file states it",
            )
        if stated is not None and overrides.size is None and stated.size != chosen.size:
            raise ModelError(
                f"{self.variant.path}: its input is {_size_text(chosen.size)}, the manifest says "
                f"{_size_text(stated.size)}",
                hint="correct preprocess.size, or give this variant a preprocess of its own",
            )
        if stated is None:
            self.guesses.extend(_guessed(chosen, self._input, overrides))
        return chosen


def load(
    path: str | os.PathLike[str],
    backend: str | None = None,
    *,
    variant: str | None = None,
    threads: int | None = None,
    options: Iterable[str] = (),
    **overrides: Any,
) -> Model:
    """Load a bundle or a bare file into the named backend, or into the first that works here, unmeasured.

    ``options`` are the backend's own as "key=value"; ``overrides`` are the fields of ``Overrides``.
    ``piaccel.load`` picks the fastest instead. Raises NotFoundError, ModelError, OptionError, UnavailableError.
    """
    bundle = Bundle.open(path)
    pairs = candidates(bundle, [backend] if backend else None, [variant] if variant else None)
    refused: UnavailableError | None = None
    for found, name in pairs:
        try:
            model = open_model(bundle, found, name, threads=threads, options=options, **overrides)
        except UnavailableError as error:
            refused = refused or error
            continue
        model.why = "asked for" if backend else f"first that works here, of {len(pairs)}; nothing was measured"
        return model
    assert refused is not None
    raise refused


def open_model(
    bundle: Bundle,
    variant: Variant,
    backend: str,
    *,
    threads: int | None = None,
    options: Iterable[str] = (),
    why: str = "",
    **overrides: Any,
) -> Model:
    """Open exactly this variant in this backend."""
    chosen = _overrides(overrides)
    session = open_session(bundle, variant, backend, threads=threads, options=options, size=chosen.size)
    try:
        return Model(bundle, variant, backend, session, chosen, threads=threads, why=why)
    except BaseException:
        session.close()
        raise


def open_session(
    bundle: Bundle,
    variant: Variant,
    backend: str,
    *,
    threads: int | None = None,
    options: Iterable[str] = (),
    size: tuple[int, int] | None = None,
) -> Session:
    """Load exactly this variant in this backend; ``size`` (height, width) is for files that leave it free."""
    variant.check()
    plugin = backends.get(backend)
    preprocess = bundle.preprocess_of(variant)
    size = size or (preprocess.size if preprocess else None)
    given: dict[str, Any] = {"threads": threads}
    if size is not None and "input_size" in {field.name for field in fields(plugin.options)}:
        given["input_size"] = size
    return plugin.load(variant.path, config.options(plugin.options, options, **given))


def candidates(
    bundle: Bundle, only_backends: Sequence[str] | None = None, only_variants: Sequence[str] | None = None
) -> list[tuple[Variant, str]]:
    """Return the pairs of variant and backend that fit each other, best backend first, runtimes not yet loaded.

    Raises ModelError, with each refusal, when there is no pair; OptionError for a name that does not exist.
    """
    variants = [bundle.variant(name) for name in only_variants] if only_variants else list(bundle.variants)
    plugins = [backends.get(name) for name in only_backends] if only_backends else backends.every()
    plugins.sort(key=lambda plugin: -plugin.priority)
    pairs: list[tuple[Variant, str]] = []
    refusals: dict[str, list[str]] = {}
    for plugin in plugins:
        for variant in variants:
            refusal = plugin.refusal(variant.path)
            if refusal:
                refusals.setdefault(refusal, []).append(plugin.name)
            else:
                pairs.append((variant, plugin.name))
    if not pairs:
        if len(variants) == 1:
            _raise_what_is_wrong(variants[0])
        reasons = "; ".join(f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in refusals.items())
        raise ModelError(f"{bundle.path} cannot be opened by {reasons}")
    return pairs


def _raise_what_is_wrong(variant: Variant) -> None:
    """Raise the error of a file that is changed or broken: it says more than that nobody opens it."""
    variant.check()
    try:
        formats.read(variant.path)
    except UnavailableError:
        return


def _overrides(given: Mapping[str, Any]) -> Overrides:
    known = {field.name for field in fields(Overrides)}
    for key in given:
        if key not in known:
            raise OptionError(f"no override is called {key!r}", hint=f"the names are {', '.join(sorted(known))}")
    return Overrides(**given)


def _with_options(task: tasks.Task, options: Mapping[str, Any]) -> tasks.Task:
    if not options:
        return task
    config.options(type(task), (), **options)  # names and types, with the error that a user understands
    return replace(task, **options)  # type: ignore[type-var]


def _image_input(variant: Variant, inputs: Sequence[TensorSpec]) -> TensorSpec:
    images = [spec for spec in inputs if len(spec.shape) == 4]
    if len(inputs) != 1 or not images:
        shapes = ", ".join(f"{spec.name} {spec.shape_text}" for spec in inputs)
        raise ModelError(f"{variant.path}: takes {shapes}; piaccel runs networks with one image input")
    return images[0]


def _resized(spec: TensorSpec, size: tuple[int, int]) -> TensorSpec:
    batch, channels = spec.shape[0], spec.channels
    shape = (batch, *size, channels) if spec.layout == "NHWC" else (batch, channels, *size)
    return replace(spec, shape=shape)


def _fixed_shape(variant: Variant, spec: TensorSpec, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return the input's shape with nothing left free. Raises ModelError when nobody states the picture's size."""
    resized = _resized(spec, size) if size is not None and spec.layout else spec
    if resized.image_size is None or None in resized.image_size:
        raise ModelError(
            f"{variant.path}: the file does not tell the size of its input",
            hint="state it with --size HEIGHTxWIDTH (in Python: size=(height, width))",
        )
    batch, *rest = resized.shape
    return (batch or 1, *(3 if channels is None else channels for channels in rest))


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _guessed(preprocess: Preprocess, spec: TensorSpec, overrides: Overrides) -> Iterator[str]:
    """Say what no file and no caller told: not the size that the input states, nor how 8-bit inputs take pixels."""
    if overrides.size is None and None in (spec.image_size or ()):
        yield f"size {_size_text(preprocess.size)}"
    if overrides.colour is None:
        yield f"colour {preprocess.colour}"
    if overrides.resize is None:
        yield f"resize {preprocess.resize}"
    if spec.dtype.kind == "f" and (overrides.mean is None or overrides.std is None):
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (preprocess.mean, preprocess.std))
        yield f"mean {mean}, std {std}"

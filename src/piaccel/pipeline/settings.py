"""What a pipeline is to do: one structure for the command line, a TOML file and Python."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from piaccel import specs
from piaccel.errors import NotFoundError, OptionError

Given = str | dict[str, Any]
"""A text such as "usb:0,fps=30", or the same as a table."""


@dataclass(frozen=True, kw_only=True)
class ThenSettings:
    """The second model of a cascade: it looks at what the first one found."""

    model: str
    backend: str = "auto"
    variant: str | None = None
    threads: int | None = None
    task: str | None = None
    label_file: str | None = None
    """What a file without a manifest does not say: the second model's task and labels."""
    threshold: float | None = None
    labels: tuple[str, ...] = ()
    """Only findings of the first model with one of these labels; all when empty."""
    min_score: float = 0.0
    margin: float = 0.1
    """Share of a box's sides that is added around it."""
    most: int = 8
    """Findings that are looked at in a frame, best first."""


@dataclass(frozen=True, kw_only=True)
class RungSettings:
    """A step down of the heat ladder: what differs from the stream's own settings."""

    model: str | None = None
    variant: str | None = None
    backend: str | None = None
    threads: int | None = None
    rate: float | None = None
    """Results a second, at most."""


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """One source seen by one model."""

    source: Given = ""
    """"" where the accelerator has a camera of its own (imx500)."""
    model: str
    policy: str = "latest"
    deadline_s: float | None = None
    """A frame older than this is not answered any more, and a result that comes later counts as late."""
    period_s: float | None = None
    """Policy "paced": from one result to the next."""
    backend: str = "auto"
    variant: str | None = None
    threads: int | None = None
    options: tuple[str, ...] = ()
    """The backend's own, as "key=value"."""
    task: str | None = None
    labels: str | None = None
    threshold: float | None = None
    """Lowest confidence to report (detection, pose)."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """What the manifest does not say: size, mean, std, colour, resize."""
    fallback: bool = True
    isolate: bool = False
    """Run the model in a process of its own, which may crash or hang without taking the pipeline along."""
    workers: int = 1
    """Copies of the model that work at the same time; more throughput, not less age."""
    roi: tuple[float, float, float, float] | None = None
    """Region of interest: x, y, width, height, in pixels or, all at most 1, as shares of the frame."""
    tiles: str | None = None
    """Columns and rows that the frame is cut into, such as "3x2"."""
    overlap: float = 0.2
    """Share of a tile that it has in common with the next one."""
    whole_frame: bool = False
    """With tiles: look at the whole frame as well."""
    then: ThenSettings | None = None
    track: bool | dict[str, Any] = False
    """Follow detections from frame to frame; a table sets the tracker's options."""
    trigger: Given | None = None
    ladder: tuple[RungSettings, ...] = ()
    sinks: tuple[str, ...] | None = None
    """Names of the sinks it goes to; all when None."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise OptionError(f"{self.workers} workers answer nothing", hint="workers is at least 1")
        for name, value in (("deadline", self.deadline_s), ("period", self.period_s)):
            if value is not None and value <= 0:
                raise OptionError(f"a {name} must be above 0", hint="such as 80ms")
        if self.trigger is not None and self.policy != "latest":
            raise OptionError("with a trigger each part gets one result: no policy can be chosen beside it")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A whole pipeline."""

    streams: dict[str, StreamSettings]
    sinks: dict[str, Given] = field(default_factory=dict)
    """By name."""
    name: str = ""
    """Of this device, in each event's id; the host's name when empty."""
    web: str = ""
    """Address of the page, such as "127.0.0.1:8080"; "" is none."""
    log: str = ""
    """A file that gets the monitor's numbers as JSON lines."""
    log_period_s: float = 10.0
    drain_s: float = 5.0
    """How long sinks may deliver what waits when the pipeline ends."""
    heat: dict[str, Any] = field(default_factory=dict)
    """Thresholds of the heat ladder."""


def read(path: Path) -> Settings:
    """Read a TOML file. Raises NotFoundError, or OptionError naming the file and the key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise NotFoundError(f"{path}: is a folder, expected a TOML file") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"{path}: not valid TOML: {error}") from error
    try:
        return structure(table)
    except OptionError as error:
        raise OptionError(f"{path}: {error}", hint=error.hint) from error


def structure(table: Mapping[str, Any]) -> Settings:
    """Build settings from a table: its streams in ``[stream.NAME]``, or the keys of the only one at the top.

    Raises OptionError naming the key.
    """
    rest = dict(table)
    streams = rest.pop("stream", None)
    sinks = _sinks(rest.pop("sinks", ()))
    if streams is None:
        own = {each.name for each in dataclasses.fields(Settings)} - {"streams", "sinks"}
        own |= {name.removesuffix("_s") for name in own}
        streams = {"main": {key: rest.pop(key) for key in list(rest) if key not in own}}
    if (
        not isinstance(streams, Mapping)
        or not streams
        or not all(isinstance(each, Mapping) for each in streams.values())
    ):
        raise OptionError("stream must be a table of tables", hint="write [stream.NAME] above each stream's keys")
    built = {name: stream(name, given) for name, given in streams.items()}
    for name, each in built.items():
        for sink in each.sinks or ():
            if sink not in sinks:
                raise OptionError(
                    f"stream {name}: no sink is called {sink!r}", hint=f"the sinks are {', '.join(sinks)}"
                )
    return specs.options(Settings, "the pipeline", {**rest, "streams": built, "sinks": sinks})


def stream(name: str, given: Mapping[str, Any]) -> StreamSettings:
    """Build one stream's settings."""
    if "model" not in given:
        raise OptionError(f"stream {name} names no model", hint='such as model = "demo/bundle"')
    if isinstance(then := given.get("then"), Mapping):
        specs.options(ThenSettings, f"stream {name}: then", then)
    for number, rung in enumerate(_list(given.get("ladder")), 1):
        if isinstance(rung, Mapping):
            specs.options(RungSettings, f"stream {name}: rung {number}", rung)
    return specs.options(StreamSettings, f"stream {name}", given)


def _list(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else ()


def _sinks(given: Any) -> dict[str, Given]:
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, list | tuple):
        raise OptionError("sinks must be a list or a table", hint='such as sinks = ["console", "jsonl:results.jsonl"]')
    named: dict[str, Given] = {}
    for each in given:
        name = (
            each
            if isinstance(each, str)
            else str(each.get("name") or f"{each.get('kind', '')}:{each.get('target', '')}")
        )
        name = name.partition(",")[0]
        while name in named:
            name += "'"
        named[name] = each if isinstance(each, str) else {key: value for key, value in each.items() if key != "name"}
    return named

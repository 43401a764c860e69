"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from piaccel.errors import OptionError

ModelArgument = Annotated[
    Path, typer.Argument(help="A bundle's folder, or a .tflite, .onnx, .xml, .param, .hef or .rpk file.")
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend", "-b", help="auto (the fastest that agrees), a backend, or a list: 'hailo > edgetpu > litert'."
    ),
]
NoFallback = Annotated[
    bool, typer.Option("--no-fallback", help="Of a list of backends, take the first or fail; no other answers for it.")
]
VariantName = Annotated[str | None, typer.Option("--variant", help="Take this variant of the bundle.")]
Threads = Annotated[int | None, typer.Option("--threads", "-t", min=1, help="CPU threads; one a core when not given.")]
BackendOptions = Annotated[
    list[str], typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the backend; may be repeated.")
]
Delegate = Annotated[
    str | None,
    typer.Option("--delegate", metavar="LIB[:KEY=VALUE,...]", help="A delegate that LiteRT hands the network to."),
]
FullDelegation = Annotated[
    bool, typer.Option("--require-full-delegation", help="Fail where the delegate leaves operators to the CPU.")
]
TaskName = Annotated[
    str | None, typer.Option("--task", help="What the outputs mean, where no manifest says: detection, yolo, ...")
]
Labels = Annotated[Path | None, typer.Option("--labels", help="A text file with one label a line.")]
Size = Annotated[str | None, typer.Option("--size", metavar="HxW", help="The input's size, such as 240x320.")]
Mean = Annotated[str | None, typer.Option("--mean", metavar="R,G,B", help="Subtracted from pixels 0..255.")]
Std = Annotated[str | None, typer.Option("--std", metavar="R,G,B", help="Divides pixels after the mean is subtracted.")]
Colour = Annotated[str | None, typer.Option("--colour", help="Channel order the model wants: RGB, BGR or GRAY.")]
Resize = Annotated[str | None, typer.Option("--resize", help="How a picture is fitted: stretch, letterbox or crop.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LatencyBudgets = Annotated[
    list[str],
    typer.Option("--latency", metavar="BOARD=MS", help="Longest p95 of a golden sample: pi5=40, or any=200."),
]
MemoryBudgets = Annotated[
    list[str], typer.Option("--memory", metavar="BOARD=MB", help="Most memory of a version's process: pi4=300.")
]
Power = Annotated[
    str,
    typer.Option(
        "--power",
        metavar="SOURCE",
        help="auto, none, pmic, hwmon:ina226, hailo, constant:4.2W,idle=2.7W, ...: see piaccel power.",
    ),
]
Root = Annotated[
    Path, typer.Option("--root", envvar="PIACCEL_ROOT", help="Read the board from this tree instead of /.")
]


def delegation(option: list[str], delegate: str | None, full: bool) -> list[str]:
    """Return the backend options with those that ``--delegate`` and ``--require-full-delegation`` stand for."""
    if full and delegate is None and not any(each.startswith("delegate=") for each in option):
        raise OptionError("--require-full-delegation needs a delegate", hint="name its library: --delegate LIB")
    added = [f"delegate={delegate}"] if delegate is not None else []
    return [*option, *added, *(["require_full_delegation=true"] if full else [])]


def budgets(name: str, given: list[str]) -> dict[str, float]:
    """Return what "pi5=40" says. Raises OptionError."""
    found = {}
    for text in given:
        board, _, number = text.partition("=")
        try:
            found[board] = float(number)
        except ValueError as error:
            raise OptionError(f"{name} {text!r} is not BOARD=NUMBER", hint=f"write it as {name} pi5=40") from error
    return found


def overrides(
    task: str | None,
    labels: Path | None,
    size: str | None,
    mean: str | None,
    std: str | None,
    colour: str | None,
    resize: str | None,
) -> dict[str, Any]:
    """Return what ``piaccel.load`` takes as overrides. Raises OptionError naming the option that is wrong."""
    return {
        "task": task,
        "labels": labels,
        "size": _size(size),
        "mean": _numbers("--mean", mean),
        "std": _numbers("--std", std),
        "colour": _choice("--colour", colour, ("RGB", "BGR", "GRAY")),
        "resize": _choice("--resize", resize, ("stretch", "letterbox", "crop")),
    }


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, times, width = text.lower().partition("x")
    if not times:
        width = height
    if not (height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0):
        raise OptionError(f"--size {text!r} is not HEIGHTxWIDTH", hint="write it as --size 240x320")
    return int(height), int(width)


def _numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or any(value - value != 0 for value in values):
        raise OptionError(f"{name} {text!r} is not one or three numbers", hint=f"write it as {name} 127.5,127.5,127.5")
    if name == "--std" and 0 in values:
        raise OptionError("--std must not be 0: pixels are divided by it")
    return values * 3 if len(values) == 1 else values


def _choice(name: str, text: str | None, choices: tuple[str, ...]) -> str | None:
    if text is None:
        return None
    for choice in choices:
        if text.lower() == choice.lower():
            return choice
    raise OptionError(f"{name} {text!r} is not one of {', '.join(choices)}")

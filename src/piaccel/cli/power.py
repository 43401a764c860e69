"""``piaccel power``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piaccel.cli import _options as options
from piaccel.cli._text import print_json, printable

if TYPE_CHECKING:
    from piaccel.device.power import Energy, Missing, PowerSource

SCHEMA = "piaccel.power/1"
_COLUMN = 13
_EVERY_S = 1.0


def power(
    source: Annotated[
        str | None, typer.Option(metavar="S", help="This one alone: pmic, hwmon:ina226, constant:4.2W, ...")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="A line a second, and the energy at Ctrl-C.")] = False,
    json: options.Json = False,
    root: options.Root = Path("/"),
) -> None:
    """Say which power meters this machine has, what they read now, how exact they are and what they leave out.

    Exit code 1 where the source named, or any for --watch, is not here or gives no reading.

    \b
    Examples:
      piaccel power
      piaccel power --source hwmon:ina226 --watch
      piaccel power --source i2c:ina226@1:0x40,shunt=0.01
    """
    from piaccel.device import power as device
    from piaccel.errors import UnavailableError

    if source is None and not watch:
        survey = device.look(root)
        _show(survey.sources, survey.missing, survey.best, json)
        return
    chosen = device.find(root, source)
    if chosen is None:
        raise UnavailableError(
            "no power meter was found to watch", hint="piaccel power says what is missing; or --source constant:4.2W"
        )
    try:
        if watch:
            _watch(chosen, json)
        else:
            _show((chosen,), (), chosen, json)
    finally:
        chosen.close()
    if chosen.reason:
        raise typer.Exit(1)


def _show(sources: tuple[PowerSource, ...], missing: tuple[Missing, ...], best: PowerSource | None, json: bool) -> None:
    readings = [each.read() for each in sources]
    if json:
        listed = [_described(each, watts) for each, watts in zip(sources, readings, strict=True)]
        auto = best.name if best is not None else None
        print_json({"schema": SCHEMA, "auto": auto, "sources": listed, "missing": missing})
        return
    for each, watts in zip(sources, readings, strict=True):
        _line(each.name, f"{watts:.2f} W" if watts is not None else f"no reading: {each.reason}", each.hint)
        _line("  read by", f"{each.how}, about {each.cost_ms:g} ms a reading" if each.is_measured else each.how)
        _line("  accuracy", each.accuracy)
        _line("  leaves out", each.leaves_out)
        typer.echo()
    for lacking in missing:
        _line(lacking.name, f"not here: {lacking.reason}", lacking.hint)
    if missing:
        _line("i2c", "an INA chip without a kernel driver, where you name it", "--source i2c:ina226@1:0x40,shunt=0.01")
        _line("constant", "what you read off a meter yourself", "--source constant:4.2W,idle=2.7W,accuracy=5%")
        typer.echo()
    typer.echo(_verdict(best))


def _verdict(best: PowerSource | None) -> str:
    from piaccel.device import power as device

    if best is None:
        return "Power is not measurable here."
    refused = device.refusal(best, ("cpu",), ("cpu", "usb"), ("cpu", "pcie"))
    if refused is None:
        return f"{best.name} can compare the processor with accelerators on USB and PCIe."
    if device.refusal(best, ("cpu",)) is None:
        return f"{best.name} can compare what runs on the processor, but not the processor with an accelerator."
    return f"{best.name} cannot compare configurations."


def _watch(source: PowerSource, json: bool) -> None:
    import time

    from piaccel.device import power as device

    meter = device.Meter(source)
    with meter:
        begun = meter.started_ns
        try:
            while True:
                time.sleep(_EVERY_S)
                now = time.perf_counter_ns()
                _tell(meter.between(begun, now), (now - meter.started_ns) / 1e9, json)
                begun = now
        except KeyboardInterrupt:
            pass  # the way to end it
    energy = meter.energy
    if json:
        print_json({"schema": SCHEMA, "source": source.name, "energy": energy.to_dict()})
    elif energy.joules is None:
        typer.echo(f"No energy: {energy.reason}.")
    else:
        exact = f" ± {energy.uncertainty_j:.2g}" if energy.uncertainty_j is not None else ""
        failed = f", {energy.missing} readings failed ({energy.reason})" if energy.missing else ""
        typer.echo(
            f"{energy.joules:.2f}{exact} J in {energy.seconds:.1f} s, mean {energy.mean_w:.2f} W: "
            f"{energy.samples} readings of {source.name}{failed}. Leaves out: {source.leaves_out}."
        )


def _tell(second: Energy, at_s: float, json: bool) -> None:
    if json:
        import msgspec

        typer.echo(msgspec.json.encode({"at_s": round(at_s, 3), "watts": second.mean_w, "reason": second.reason}))
    else:
        words = f"{second.mean_w:7.2f} W" if second.mean_w is not None else f"no reading: {printable(second.reason)}"
        typer.echo(f"{at_s:8.1f} s {words}")


def _described(source: PowerSource, watts: float | None) -> dict[str, Any]:
    return {
        "name": source.name,
        "watts": watts,
        "reason": source.reason,
        "hint": source.hint,
        "how": source.how,
        "is_measured": source.is_measured,
        "accuracy": source.accuracy,
        "uncertainty": source.uncertainty,
        "leaves_out": source.leaves_out,
        "covers": sorted(source.covers),
        "cost_ms": source.cost_ms,
    }


def _line(label: str, words: str, hint: str = "") -> None:
    import shutil
    import textwrap

    wide = max(shutil.get_terminal_size().columns - _COLUMN, 30)
    for line in textwrap.wrap(printable(words), wide, break_on_hyphens=False):
        typer.echo(f"{label:<{_COLUMN}}{line}")
        label = ""
    if hint:
        typer.echo(f"{'':<{_COLUMN}}-> {printable(hint)}")

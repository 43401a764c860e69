"""A running pipeline in the terminal, while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from piaccel.cli._text import printable
from piaccel.device.throttle import Throttled
from piaccel.errors import PiaccelError
from piaccel.pipeline.masking import masked
from piaccel.pipeline.outlet import OutletNumbers
from piaccel.pipeline.snapshot import CameraNumbers, Snapshot, StreamNumbers

PER_SECOND = 2
_ALARMS = 4


@contextmanager
def live(snapshot: Callable[[], Snapshot], console: Console | None = None) -> Iterator[None]:
    """Show ``snapshot()`` on stderr twice a second until the block ends; nothing where that is no terminal."""
    console = console or Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield
        return

    def now() -> Group:
        try:
            return Group(*lines(snapshot(), console.height - 1))
        except PiaccelError as error:
            return Group(Text(str(error), no_wrap=True))

    with Live(get_renderable=now, console=console, refresh_per_second=PER_SECOND, transient=True):
        yield


def lines(seen: Snapshot, height: int = 23) -> list[Text]:
    """The snapshot in at most ``height`` lines, the most important first."""
    alarms = [_line(f"! {each}", "bold red") for each in seen.alarms]
    if len(alarms) > _ALARMS:
        alarms[_ALARMS - 1 :] = [_line(f"! and {len(alarms) - _ALARMS + 1} more alarms", "bold red")]
    shown = [_line(f"piaccel run, {_time(seen.up_s)}   {_board(seen.board)}", "bold"), *alarms]
    for stream in seen.streams:
        shown += _stream(stream)
    shown += [_camera(each) for each in seen.cameras]
    shown += [_sink(each) for each in seen.sinks]
    if seen.steps:
        shown.append(_line(f"heat   {seen.steps[-1]}", "yellow"))
    if len(shown) > height:
        hidden = len(shown) - height + 1
        shown[height - 1 :] = [_line(f"and {hidden} more lines (a higher terminal shows them)", "dim")]
    return shown


def causes(counts: Mapping[str, int]) -> str:
    """ "99 (90 overwritten, 9 expired)", most first."""
    known = sorted(((count, cause) for cause, count in counts.items() if count), reverse=True)
    total = str(sum(count for count, _ in known))
    return f"{total} ({', '.join(f'{count} {cause}' for count, cause in known)})" if known else total


def ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _stream(stream: StreamNumbers) -> list[Text]:
    rung = "" if stream.rung is None else f"  rung {stream.rung} of {stream.rungs - 1}"
    state = "failing" if stream.model_error else "running" if stream.rate else "waiting"
    where = "/".join(each for each in (stream.backend, stream.variant) if each) or "no model yet"
    age, late = stream.recent_age, f"  late {stream.late}" if stream.deadline_ms is not None else ""
    style = "red" if stream.model_error else "cyan"
    return [
        _line(f"{stream.name}  {state}  {_rate(stream.rate)}  {where}  {stream.policy}{rung}", style),
        _line(
            f"  age ms p50 {ms(age.p50_ms)}  p95 {ms(age.p95_ms)}  p99 {ms(age.p99_ms)}{late}  waiting {stream.waiting}"
        ),
        _line(
            f"  answered {stream.answered} of {stream.offered}"
            + (f"  failed {stream.failed}" if stream.failed else "")
            + f"  dropped {causes(stream.dropped)}"
        ),
    ]


def _camera(camera: CameraNumbers) -> Text:
    size = "" if camera.size is None else f"  {camera.size[1]}x{camera.size[0]}"
    troubles = {"lost": camera.lost, "reconnects": camera.reconnects, "restamped": camera.restamped}
    rest = "".join(f"  {name} {count}" for name, count in troubles.items() if count)
    good = camera.state in ("running", "opening", "ended")
    return _line(f"source {camera.name}  {camera.state}  {_rate(camera.fps)}{size}{rest}", "" if good else "red")


def _sink(sink: OutletNumbers) -> Text:
    given_up = f"  given up {causes(sink.given_up)}" if any(sink.given_up.values()) else ""
    lag = "" if sink.lag_s is None else f"  lag {sink.lag_s:.1f} s"
    good = sink.state in ("open", "opening", "closed")
    return _line(
        f"sink   {sink.name}  {sink.state}  sent {sink.sent}  queued {sink.queued}{lag}{given_up}",
        "" if good else "red",
    )


def _board(board: Mapping[str, float | None]) -> str:
    words = []
    if (degrees := board.get("temperature_c")) is not None:
        words.append(f"{degrees:.0f} °C")
    if (clock := board.get("clock_hz")) is not None:
        words.append(f"{clock / 1e6:.0f} MHz")
    if (watts := board.get("power_w")) is not None:
        words.append(f"{watts:.1f} W")
    if (bits := board.get("throttled")) is not None:
        words.append(f"throttled: {Throttled(int(bits))}")
    return "  ".join(words)


def _rate(value: float | None) -> str:
    return "-/s" if value is None else f"{value:.1f}/s"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _line(text: str, style: str = "") -> Text:
    return Text(printable(masked(text)), style=style, no_wrap=True, overflow="ellipsis")

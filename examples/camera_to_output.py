"""From a camera to a function: the newest frame, answered in time, and what became of the others."""

import sys

import piaccel
from piaccel.sinks import Event

source = sys.argv[1] if len(sys.argv) > 1 else "synthetic:demo/images,fps=30"  # or "usb:0", "picamera", "rtsp://..."


def tell(event: Event) -> None:
    """Called for each result, in a thread of its own: however long it takes, inference goes on."""
    print(event.index, f"{event.age_ns / 1e6:.1f} ms old:", event.result.findings())


pipeline = piaccel.Pipeline(source, "demo/bundle", backend="litert", deadline="200ms", sinks=[tell])
summary = pipeline.run(seconds=2)  # or frames=100, or for ever

stream = summary.numbers.streams[0]
print(f"{stream.answered} results, 95 % younger than {stream.age.p95_ms:.1f} ms; dropped: {dict(stream.dropped)}")
print("valid" if summary.verdict.valid else f"not valid: {', '.join(summary.verdict.reasons)}")

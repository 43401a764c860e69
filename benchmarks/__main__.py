"""``python -m benchmarks [NAME...]``: answer every question, and write the answers with their conditions."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import Row

NAMES = (
    "session",
    "predict",
    "startup",
    "pipeline",
    "gil",
    "handover",
    "serving",
    "overload",
    "peers",
    "auto",
    "endurance",
)
LONG = ("endurance",)
"""Only when it is asked for."""
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure piaccel's own cost.")
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"{', '.join(NAMES)}; all but {', '.join(LONG)} when not given"
    )
    names = parser.parse_args(arguments).names
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"no question is called {unknown[0]!r}: choose from {', '.join(NAMES)}")
    rows: list[Row] = []
    for name in names or [each for each in NAMES if each not in LONG]:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").measure()
    text = render(rows)
    print(text)
    if not names:
        (RESULTS / f"{platform.machine()}.md").write_text(text)
    return 1 if any(row.met is False for row in rows) else 0


def render(rows: list[Row]) -> str:
    packages = ", ".join(f"{name} {_version(name)}" for name in ("piaccel", "ai-edge-litert", "openvino", "numpy"))
    lines = [
        f"# piaccel's own cost, {datetime.now(UTC):%Y-%m-%d}",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {packages}.",
        "Ratios and differences are within one run, interleaved; a virtual machine with other load, not a Pi.",
        "",
        "| question | answer | bar | met |",
        "|---|---|---|---|",
    ]
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        lines.append(f"| {row.question} | {row.value} | {row.bar} | {met} |")
    return "\n".join(lines) + "\n"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

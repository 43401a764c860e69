"""``oip-check``: whether a server speaks the Open Inference Protocol, ours or any other."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from piaccel.serving.conformance import core, errors, extensions, grpc_twins
from piaccel.serving.conformance.site import SIZES, Given, Site
from piaccel.serving.conformance.suite import CHECKS, Outcome, run

__all__ = ["CHECKS", "Site", "core", "errors", "extensions", "grpc_twins", "main", "run"]


def main(given: Sequence[str] | None = None) -> int:
    """Run the suite; return 0 when nothing failed, 1 when something did, 2 when it could not be run."""
    asked = _parser().parse_args(given)
    site = Site(
        asked.url,
        asked.model,
        asked.grpc,
        asked.timeout,
        asked.key,
        dict(asked.shape),
        tuple(asked.input),
    )
    try:
        lacking = site.learn()
    except (OSError, ValueError, KeyError, TypeError) as error:
        lacking = f"{asked.url} cannot be asked: {error or type(error).__name__}"
    if lacking:
        print(f"oip-check: {lacking}", file=sys.stderr)  # noqa: T201 - a command
        return 2
    outcomes = run(site, admin=asked.admin, claim=tuple(asked.claim))
    print(json.dumps(_document(site, outcomes), indent=1) if asked.json else _table(site, outcomes))  # noqa: T201
    return int(any(each.status == "FAIL" for each in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="oip-check", description="Check whether a server speaks the Open Inference Protocol (v2), REST and gRPC."
    )
    parser.add_argument("url", help="such as http://127.0.0.1:8000")
    parser.add_argument("model", nargs="?", default="", help="the first ready one of the index by default")
    parser.add_argument("--grpc", default="", metavar="HOST:PORT", help="check gRPC too")
    parser.add_argument("--json", action="store_true", help="every check with what was seen, as JSON")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="for each request; 10 by default")
    parser.add_argument("--key", default="", help="sent as X-API-Key")
    parser.add_argument("--admin", action="store_true", help="also unload the model and load it again")
    parser.add_argument(
        "--claim", action="append", default=[], metavar="EXTENSION", help="check it though it is not claimed; or: all"
    )
    parser.add_argument(
        "--shape", type=_shape, action="append", default=[], metavar="INPUT:1,2,3", help="for inputs with free sizes"
    )
    parser.add_argument(
        "--input", type=_input, action="append", default=[], metavar="NAME:DATATYPE:1,2,3",
        help="for models that describe no inputs",
    )  # fmt: skip
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",") if each)


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition(":")
    if not name:
        raise argparse.ArgumentTypeError("expected INPUT:1,2,3")
    return name, _sizes(sizes)


def _input(text: str) -> Given:
    name, datatype, sizes = (*text.rsplit(":", 2), "", "")[:3]
    if datatype not in SIZES:
        raise argparse.ArgumentTypeError(f"expected NAME:DATATYPE:1,2,3, the datatypes are {', '.join(SIZES)}")
    return Given(name, datatype, _sizes(sizes))


def _document(site: Site, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "url": site.url,
        "model": site.model,
        "extensions": site.extensions,
        "counts": dict(Counter(each.status for each in outcomes)),
        "checks": [
            {
                "id": each.check.id,
                "says": each.check.says,
                "source": each.check.source,
                "status": each.status,
                "seen": each.seen,
            }
            for each in outcomes
        ],
    }


def _table(site: Site, outcomes: Sequence[Outcome]) -> str:
    lines, group = [], ""
    for each in outcomes:
        if each.check.group != group:
            group = each.check.group
            lines.append(f"\n{group}")
        lines.append(f"  {each.status}  {each.check.id:28} {each.check.says}")
        if each.status != "PASS" and each.seen:
            lines.append(f"        {each.seen} [{each.check.source}]")
    counts = Counter(each.status for each in outcomes)
    lines.append(
        f"\n{site.url} {site.model}: {counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped"
    )
    return "\n".join(lines).lstrip("\n")

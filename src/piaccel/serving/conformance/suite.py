"""What a check is, and how checks are run."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from piaccel.serving.conformance.site import Site

Status = Literal["PASS", "FAIL", "SKIP"]
Body = Callable[[Site], str | None]


class FailedError(Exception):
    """The server did something else; the text says what was seen."""


class SkippedError(Exception):
    """There is nothing to check here; the text says why."""


@dataclass(frozen=True)
class Check:
    """One assertion: what the protocol says, and where it says so."""

    id: str
    says: str
    source: str
    extension: str
    """What a server must claim for it to be checked; "" for the core."""
    admin: bool
    body: Body

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Outcome:
    """What came of a check."""

    check: Check
    status: Status
    seen: str


CHECKS: list[Check] = []


def check(name: str, says: str, source: str, *, extension: str = "", admin: bool = False) -> Callable[[Body], Body]:
    """Add a function to the suite; it returns what it saw (None: nothing worth telling), or raises."""

    def add(body: Body) -> Body:
        CHECKS.append(Check(name, says, source, extension, admin, body))
        return body

    return add


def expect(condition: object, seen: str) -> None:
    """Raises FailedError unless ``condition``."""
    if not condition:
        raise FailedError(seen[:300])


def run(
    site: Site, chosen: list[Check] | None = None, *, admin: bool = False, claim: tuple[str, ...] = ()
) -> list[Outcome]:
    """Run the checks in their order, what changes the server last; one that breaks is a failed one."""
    claimed = {*site.extensions, *claim}
    outcomes = []
    for each in sorted(CHECKS if chosen is None else chosen, key=lambda each: each.admin):
        if each.extension and "all" not in claimed and each.extension not in claimed:
            outcomes.append(Outcome(each, "SKIP", f"the server does not claim {each.extension}"))
        elif each.admin and not admin:
            outcomes.append(Outcome(each, "SKIP", "it changes what is served: give --admin"))
        else:
            outcomes.append(_outcome(each, site))
    return outcomes


def _outcome(each: Check, site: Site) -> Outcome:
    try:
        return Outcome(each, "PASS", each.body(site) or "")
    except SkippedError as error:
        return Outcome(each, "SKIP", str(error))
    except FailedError as error:
        return Outcome(each, "FAIL", str(error))
    except (OSError, http.client.HTTPException) as error:
        return Outcome(each, "FAIL", f"no answer: {error or type(error).__name__}")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        return Outcome(each, "FAIL", f"the answer cannot be read: {type(error).__name__}: {error}"[:300])

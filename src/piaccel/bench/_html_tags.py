"""HTML put together from tags, so that nothing gets in unescaped: a plain str is text, only ``Html`` is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "br", "line", "path", "rect"})
"""Elements written without content; those of SVG are closed in place."""

# XML 1.0's characters that no document may hold, and the half of a pair that UTF-8 cannot.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Html(str):
    """Finished markup."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]


def tag(name: str, *children: Child, **attributes: str | float | None) -> Html:
    """Return one element. ``class_`` is the attribute ``class``, ``_`` in a name is ``-``; None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{written}/>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Child) -> Html:
    """Return children one after the other: text escaped, markup as it is, None left out."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str | int):
        return Html(_escaped(children))
    return Html("".join(joined(child) for child in children))


def _escaped(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(_FORBIDDEN.sub("�", text), quote=True)

"""What the doctor says of a fake board, for the tests of its checks."""

from __future__ import annotations

from pathlib import Path

from piaccel.device.doctor import diagnose
from piaccel.device.findings import Finding


def trouble(root: Path) -> list[Finding]:
    return list(diagnose(root).of("warning", "problem"))


def expect(root: Path, severity: str, words: str) -> Finding:
    """The one trouble of this root, which says ``words``, why it matters and what to do."""
    found = trouble(root)
    assert [each.severity for each in found] == [severity], found
    assert words in found[0].what
    assert found[0].why
    assert found[0].fix or found[0].command
    return found[0]


def mentioned(root: Path, words: str) -> list[Finding]:
    return [each for each in diagnose(root).findings if words in each.what]

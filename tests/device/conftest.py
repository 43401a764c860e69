"""What the doctor's tests share."""

import pytest

from piaccel.device import doctor


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy or emulated machine takes its time; that nobody is waited for for ever has tests of its own."""
    for name in ("LOOKING_S", "CHECKING_S", "_ONE_CHECK_S"):
        monkeypatch.setattr(doctor, name, 120.0)

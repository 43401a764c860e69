"""Every error piaccel raises on purpose.

Each is also the builtin a caller would expect, so ``except ValueError`` and
``except FileNotFoundError`` go on working. ``str(error)`` is one line that names
the input and what was expected; ``error.hint`` is what to do about it.
"""

from __future__ import annotations


class PiaccelError(Exception):
    """Base of all errors raised on purpose; ``hint`` says what to do next ('' when nothing helps)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[PiaccelError], message: str, hint: str) -> PiaccelError:
    return kind(message, hint=hint)


class InputError(PiaccelError, ValueError):
    """What the caller handed in does not fit: a tensor's shape or dtype, an image that cannot be read."""


class OptionError(PiaccelError, ValueError):
    """An option, a flag or a key of a configuration file that does not exist or has a wrong value."""


class ModelError(PiaccelError, ValueError):
    """A model file or bundle that is broken, or that its manifest describes wrongly."""


class ChecksumError(ModelError):
    """A file whose sha256 is not the one its manifest states."""


class NotFoundError(PiaccelError, FileNotFoundError):
    """A file or folder that is not there."""


class WriteError(PiaccelError, OSError):
    """A file that cannot be written: the disk is full, the folder is read-only or is none."""


class UnavailableError(PiaccelError, RuntimeError):
    """A backend, device or sensor that cannot be used here; ``hint`` is the command that mends it."""

    retry_after_s: float | None = None
    """How long it asked to be left alone; None where it did not say."""


class InferenceError(PiaccelError, RuntimeError):
    """A runtime refused to run a network it had opened."""


class CrashError(PiaccelError, RuntimeError):
    """A child process died (signal, out of memory) while it worked for us."""


class HangError(PiaccelError, TimeoutError):
    """A child process did not answer in time and was ended."""


class ConditionsError(PiaccelError, ValueError):
    """Two measurements taken under conditions that may not be compared."""


class ServiceError(PiaccelError, RuntimeError):
    """A request that the service refuses or cannot finish. ``kind`` is Triton's name for it, in lower case."""

    def __init__(self, kind: str, message: str, *, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        """not_found, invalid_argument, unavailable, deadline_exceeded, resource_exhausted (a key's quota), too_large,
        unsupported, unauthenticated, permission_denied, internal."""
        self.retry_after_s = retry_after_s
        """When it is worth another try; None where nobody knows."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_refusal, (self.kind, self.message, self.hint, self.retry_after_s)


def _rebuild_refusal(kind: str, message: str, hint: str, retry_after_s: float | None) -> ServiceError:
    return ServiceError(kind, message, hint=hint, retry_after_s=retry_after_s)

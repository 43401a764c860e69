import inspect
import pickle

import pytest

from piaccel import errors

KINDS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, errors.PiaccelError) and value is not errors.ServiceError
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_hint_on_the_way_out_of_a_child_process(kind: type[errors.PiaccelError]) -> None:
    error = pickle.loads(pickle.dumps(kind("net.tflite: truncated", hint="copy it again")))
    assert type(error) is kind
    assert (str(error), error.hint) == ("net.tflite: truncated", "copy it again")


def test_a_refusal_keeps_its_kind_and_when_to_come_back_too() -> None:
    error = pickle.loads(pickle.dumps(errors.ServiceError("unavailable", "full", hint="wait", retry_after_s=2.5)))
    assert (error.kind, str(error), error.hint, error.retry_after_s) == ("unavailable", "full", "wait", 2.5)


def test_errors_are_the_builtins_that_callers_catch() -> None:
    with pytest.raises(FileNotFoundError):
        raise errors.NotFoundError("gone")
    with pytest.raises(ValueError, match="odd"):
        raise errors.ModelError("odd")
    with pytest.raises(TimeoutError):
        raise errors.HangError("late")

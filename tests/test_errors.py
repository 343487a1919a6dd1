"""Every error says what is wrong, what to do next and how the command ends."""

import inspect

import pytest

from mrrate_bids import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]
CODES = {errors.MrRateError: 1, errors.UsageError: 2, errors.DataError: 3}


@pytest.mark.parametrize('kind', CLASSES)
def test_error_has_message_hint_and_code(kind):
    error = kind('what is wrong')
    assert str(error) == 'what is wrong'
    assert error.hint == kind.default_hint
    assert error.hint.endswith('.')
    assert kind('what', hint='do this').hint == 'do this'


@pytest.mark.parametrize('kind', CLASSES)
def test_exit_code_follows_from_the_family(kind):
    family = next(k for k in (errors.UsageError, errors.DataError, kind) if issubclass(kind, k))
    expected = 3 if kind is errors.DestinationError else CODES[family]
    assert kind.exit_code == expected


def test_every_exception_is_exported_and_in_the_family():
    defined = [k for _, k in inspect.getmembers(errors, inspect.isclass)]
    assert {k.__name__ for k in defined} == set(errors.__all__)
    assert all(issubclass(kind, errors.MrRateError) for kind in defined)
    assert all(kind.__name__ in errors.__doc__ for kind in defined)

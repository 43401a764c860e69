"""The service's own fixtures."""

from tests.serving.conftest import repository as repository

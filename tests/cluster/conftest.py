"""The ensemble that the tests of this folder share; what breaks it for good makes one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import ensemble
from tests.cluster.ensemble import RealEnsemble
from tests.functional.conftest import daemon

__all__ = ["daemon", "servers"]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEnsemble]:
    """Three servers on loopback that serve; each test has a chroot of its own and leaves all running."""
    why = ensemble.why_not()
    if why:
        pytest.skip(why)
    with ensemble.running(tmp_path_factory.mktemp("ensemble")) as running:
        yield running

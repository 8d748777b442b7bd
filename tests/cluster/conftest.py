"""The ensemble that the tests of this folder share; what breaks it for good makes one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import ensemble
from tests.cluster.ensemble import RealEnsemble
from tests.functional.conftest import daemon

__all__ = ["daemon", "own_servers", "servers"]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEnsemble]:
    """Three servers on loopback that serve; each test has a chroot of its own and leaves all running."""
    yield from _ensemble(tmp_path_factory)


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEnsemble]:
    """An ensemble that the tests of a module may break, and mend."""
    yield from _ensemble(tmp_path_factory)


def _ensemble(folders: pytest.TempPathFactory) -> Iterator[RealEnsemble]:
    why = ensemble.why_not()
    if why:
        pytest.skip(why)
    with ensemble.running(folders.mktemp("ensemble")) as running:
        yield running

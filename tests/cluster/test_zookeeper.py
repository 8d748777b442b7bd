"""The bridge to the real ZooKeeper: the contract of every ensemble, and what only a real one can do to it."""

from __future__ import annotations

import pytest

from tests.cluster.clients import RealHarness
from tests.cluster.ensemble import RealEnsemble
from tests.edge.ensemble_contract import EnsembleContract


class TestZooKeeper(EnsembleContract):
    @pytest.fixture
    def harness(self, servers: RealEnsemble) -> RealHarness:
        return RealHarness(servers.connect)

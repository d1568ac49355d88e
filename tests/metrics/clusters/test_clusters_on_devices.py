"""Clients whose models are on a GPU are clustered as those on the CPU, whatever clusters them.

Clusters are found from matrices of distances, which are arrays and have no device: what is done with them is looked at
in the other files of this folder.
"""

import pytest

from metrics.client_clusters import ClientClusters
from metrics.clusters.agglomerative import Agglomerative
from metrics.clusters.louvain import Louvain
from metrics.clusters.spectral import Spectral
from tests.support.on_devices import assert_as_on_the_cpu

pytestmark = pytest.mark.usefixtures("device")


METHODS = {
    "tested": Agglomerative(),
    "given": Agglomerative(number=2),
    "louvain": Louvain(),
    "spectral": Spectral(number=2),
    "eigengap": Spectral(number="eigengap"),
}


@pytest.mark.parametrize("of", ["updates", "weights"])
@pytest.mark.parametrize("name", METHODS)
def test_clusters_of_models(name: str, of: str) -> None:
    assert_as_on_the_cpu(ClientClusters(method=METHODS[name], of=of, resamples=2))


def test_clusters_by_what_models_put_out() -> None:
    assert_as_on_the_cpu(ClientClusters("cka_distance", resamples=2))

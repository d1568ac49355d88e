"""The examples on which the server tests the global model: all of its test set, or as many as are asked for."""

import numpy as np
import torch

from fedlayers.config.schema.settings import Config
from fedlayers.core.checks import check
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.kinds.labels import strata
from fedlayers.core.seeding import numpy_generator
from fedlayers.data.partitioning.split import spread_evenly


def server_examples(config: Config, federation: Federation) -> Examples:
    """Return the examples of the server's tests, the same in all rounds, in the order of the test set.

    As many of the test set as ``server_test.examples`` says, every label with about its share of them; more of them
    hold the fewer. The probe is drawn from the whole set all the same.

    Raises:
        UserError: there are not as many.
    """
    everything, wanted = federation.server_test, config.server_test.examples
    if wanted is None:
        return everything
    allowed = f"at most {len(everything)}, the number of the server's test examples, or null for all"
    check(wanted <= len(everything), "server_test.examples", allowed, wanted)
    order = spread_evenly(strata(everything.targets().numpy()), numpy_generator(config.seed, "server_test/examples"))
    return everything.take(torch.from_numpy(np.sort(order[:wanted])))

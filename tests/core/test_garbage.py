import gc

import pytest

from fedlayers.core.machine.garbage import rare_collections


def test_garbage_is_looked_for_as_before_once_the_block_ends_also_by_an_error() -> None:
    before = gc.get_threshold()
    with rare_collections():
        assert gc.get_threshold() == (20_000, *before[1:]) and gc.isenabled()
    with pytest.raises(ZeroDivisionError), rare_collections():
        raise ZeroDivisionError
    assert gc.get_threshold() == before

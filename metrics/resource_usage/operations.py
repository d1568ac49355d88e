"""Floating-point operations of a block of code."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry
from torch.utils.module_tracker import ModuleTracker

from fedlayers.core.attention_kernels import unfused_attention

ALL = "Global"


def operations_of(run: Callable[[], object]) -> Mapping[str, int]:
    """Return how many operations something computes: name of a module, led by its model's class, -> those inside it.

    ``ALL`` has all of them. They are counted as ``torch.utils.flop_counter.FlopCounterMode`` counts, which imports
    torch's compiler first, so that compiled code may meet it: a second and a half.

    Args:
        run: runs models uncompiled.

    Examples:
        >>> import torch
        >>> operations_of(lambda: torch.zeros(2, 3) @ torch.zeros(3, 5))[ALL]
        60
    """
    modules = ModuleTracker()
    counter = _OperationCounter(modules)
    try:
        # Not every device's fused kernels are known to the counter.
        with unfused_attention(), modules, counter:
            run()
    except RuntimeError:  # torch.cond and its like compile what they run
        with unfused_attention(), FlopCounterMode(display=False) as compiled:
            run()
        counts = compiled.get_flop_counts()
        return Counter({module: sum(found.values()) for module, found in counts.items()})
    return counter.of_modules


class _OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is computed while it is entered, by modules."""

    def __init__(self, modules: ModuleTracker) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of_modules: Counter[str] = Counter()
        self._modules = modules

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that compiled code never calls this."""
        return False

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute one operation and count it; what has no count of its own is taken apart if it can be."""
        keywords = kwargs or {}
        count_of = flop_registry.get(function._overloadpacket)
        if count_of is None:
            with self:
                found = function.decompose(*args, **keywords)
            return function(*args, **keywords) if found is NotImplemented else found
        out = function(*args, **keywords)
        count = count_of(*args, **keywords, out_val=out)
        for module in set(self._modules.parents):
            self.of_modules[module] += count
        return out

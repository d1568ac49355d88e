"""Records what is done with tensors as a CUDA graph does: operations and where in memory they read and write."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TensorRecorder:
    """Records a function's operations; done again they read and write the same memory, and nothing else is called.

    Attributes:
        recorded, replayed: how many steps were.
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def aside(self) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record a function; unlike a CUDA graph's, this recording carries it out, too."""
        tape = _Tape()
        with tape:
            step()
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            with torch.no_grad():
                tape.run()

        return replay


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._done: list[tuple[Any, Sequence[Any], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(
        self, op: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out an operation and write it down."""
        if op is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        found = op(*args, **(kwargs or {}))
        self._done.append((op, args, kwargs or {}, found))
        return found

    def run(self) -> None:
        """Carry out all operations again, with results where they were."""
        for op, args, kwargs, before in self._done:
            # A view is of memory that is written already.
            if not op.is_view:
                pairs = zip(tree_leaves(before), tree_leaves(op(*args, **kwargs)), strict=True)
                for old, new in pairs:
                    if isinstance(old, Tensor) and old is not new and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

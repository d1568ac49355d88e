"""A view whose weights no metric changes: what one did change is noticed, told and put back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Self

from torch import Tensor, nn

from fedlayers.core.layers import as_written, buffers_kept
from metrics.answers.checked import put_back, refuse_changed
from metrics.views import ClientView


class GuardedView(ClientView):
    """A view that copies the weights when they are first looked at: most metrics compute with the module alone.

    Likewise it fills and guards the module when that is first looked at: others need the weights alone, or neither.
    ``reference`` may be the same tensors as ``parameters``, so that either counts as a look.
    """

    _module: nn.Module
    _fill: Callable[[], None] | None = None
    _block: ExitStack | None = None
    _parameters: Mapping[str, Tensor]
    _reference: Mapping[str, Tensor]
    _copies: Mapping[str, Tensor] | None = None

    @classmethod
    def of(cls, view: ClientView, fill: Callable[[], None] | None = None) -> Self:
        """Return a guarded view of what a view shows.

        Args:
            view: the view.
            fill: makes the module hold the view's weights; None if it does.
        """
        made = cls(**{field.name: getattr(view, field.name) for field in fields(view)})
        made._fill = fill or _nothing
        return made

    @property
    def module(self) -> nn.Module:
        """The model in eval mode."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill()
            self._guard()
        return self._module

    @module.setter
    def module(self, module: nn.Module) -> None:
        self._module = module

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """The weights that are measured."""
        self._look()
        return self._parameters

    @parameters.setter
    def parameters(self, weights: Mapping[str, Tensor]) -> None:
        self._parameters = weights

    @property
    def reference(self) -> Mapping[str, Tensor]:
        """The weights that training started from."""
        self._look()
        return self._reference

    @reference.setter
    def reference(self, weights: Mapping[str, Tensor]) -> None:
        self._reference = weights

    @contextmanager
    def guarded(self, *, is_last: bool) -> Iterator[None]:
        """Put back what a block of code changes of weights and buffers, and run the module uncompiled meanwhile.

        Args:
            is_last: whether nobody computes with the module any more, whose own copy is then not looked at.

        Raises:
            ValueError: some weights were changed.
        """
        try:
            with ExitStack() as self._block:
                if self._is_filled:
                    self._guard()
                yield
        finally:
            self._block = None
            changed = [] if self._copies is None else put_back(self._parameters, self._copies)
            if self._is_filled and not is_last:
                changed += put_back(self._loaded(), self._parameters)
        refuse_changed(list(dict.fromkeys(changed)))

    @property
    def _is_filled(self) -> bool:
        return self._fill is None

    def _guard(self) -> None:
        """Keep the module's buffers, and what it was written as, until the block ends."""
        if self._block is not None:
            self._block.enter_context(buffers_kept(self._module))
            self._block.enter_context(as_written(self._module))

    def _loaded(self) -> Mapping[str, Tensor]:
        """Return the module's copies of the weights, but for those that it holds in another type."""
        own = {name: tensor for name, tensor in self._module.named_parameters() if name in self._parameters}
        return {name: tensor for name, tensor in own.items() if tensor.dtype == self._parameters[name].dtype}

    def _look(self) -> None:
        if self._copies is None:
            self._copies = {name: tensor.detach().clone() for name, tensor in self._parameters.items()}


def _nothing() -> None:
    """Leave a module as it is, which holds what it should."""

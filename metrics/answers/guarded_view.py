"""A view whose weights no metric changes: what one did change is noticed, told and put back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Self

from torch import Tensor

from metrics.answers.checked import put_back, refuse_changed
from metrics.views import ClientView


class GuardedView(ClientView):
    """A view that copies the weights when they are first looked at: most metrics compute with the module alone.

    ``reference`` may be the same tensors as ``parameters``, so that either counts as a look.
    """

    _parameters: Mapping[str, Tensor]
    _reference: Mapping[str, Tensor]
    _copies: Mapping[str, Tensor] | None = None

    @classmethod
    def of(cls, view: ClientView) -> Self:
        """Return a guarded view of what a view shows."""
        return cls(**{field.name: getattr(view, field.name) for field in fields(view)})

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
        """Put back what a block of code changes of the weights.

        Args:
            is_last: whether nobody computes with the module any more, whose own copy is then not looked at.

        Raises:
            ValueError: some were changed.
        """
        try:
            yield
        finally:
            changed = [] if self._copies is None else put_back(self._parameters, self._copies)
            if not is_last:
                changed += put_back(self._loaded(), self._parameters)
        refuse_changed(list(dict.fromkeys(changed)))

    def _loaded(self) -> Mapping[str, Tensor]:
        """Return the module's copies of the weights, but for those that it holds in another type."""
        own = {name: tensor for name, tensor in self.module.named_parameters() if name in self._parameters}
        return {name: tensor for name, tensor in own.items() if tensor.dtype == self._parameters[name].dtype}

    def _look(self) -> None:
        if self._copies is None:
            self._copies = {name: tensor.detach().clone() for name, tensor in self._parameters.items()}

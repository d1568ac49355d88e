"""Building a plug-in of the data layer from its configuration, with errors that name the key."""

import inspect
import pydoc
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from fedlayers.errors import UserError


def parameters_of(key: str, spec: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the plug-in's constructor by name.

    Args:
        key: the configuration key that error messages name.
        spec: ``_target_`` and arguments.

    Raises:
        UserError: if ``_target_`` is missing or cannot be imported.
    """
    target = spec.get("_target_")
    try:
        constructor = pydoc.locate(str(target))
    except pydoc.ErrorDuringImport as error:
        raise UserError(f"{key}._target_ must be importable, got {target!r} ({error.value}); repair it") from error
    if not callable(constructor):
        raise UserError(
            f"{key}._target_ must be the full name of a class or function, got {target!r}; check its spelling"
        )
    return inspect.signature(constructor).parameters


def build(key: str, spec: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Any:
    """Return the object that a plug-in's configuration describes.

    Args:
        key: the configuration key that error messages name, such as ``partition``.
        spec: ``_target_``, its arguments, and a ``name`` that is not passed on.
        defaults: arguments to add if the constructor has them and ``spec`` does not.

    Raises:
        UserError: if the arguments are not those of the constructor, or it refuses them.
    """
    parameters = parameters_of(key, spec)
    arguments = {k: v for k, v in spec.items() if k not in ("name", "_target_")}
    added = {k: v for k, v in (defaults or {}).items() if k in parameters and k not in arguments}
    _check_names(key, spec["_target_"], parameters, arguments, added)
    try:
        return instantiate({"_target_": spec["_target_"], "_convert_": "all", **arguments}, **added)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"{key} has arguments that {spec['_target_']} refuses: {cause}") from error


def _check_names(
    key: str,
    target: str,
    parameters: Mapping[str, inspect.Parameter],
    arguments: Mapping[str, Any],
    added: Mapping[str, Any],
) -> None:
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    unknown = [name for name in arguments if name not in parameters]
    if unknown:
        allowed = ", ".join(f"{key}.{name}" for name in parameters) or "none"
        raise UserError(f"{key}.{unknown[0]} is not an argument of {target}; remove it or use one of: {allowed}")
    given = {*arguments, *added}
    lacking = [
        n for n, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and n not in given
    ]
    if lacking:
        raise UserError(f"{key}.{lacking[0]} is needed by {target}; add +{key}.{lacking[0]}=<value>")

"""Building a plug-in of the data layer from its configuration, with errors that name the key."""

import inspect
from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from fedlayers.config.plugins import check_arguments, locate
from fedlayers.core.errors import UserError


def parameters_of(key: str, spec: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the plug-in's constructor by name.

    Args:
        key: the configuration key that error messages name.
        spec: ``_target_`` and arguments.

    Raises:
        UserError: if ``_target_`` is missing or names nothing that can be called.
    """
    return inspect.signature(locate(str(spec.get("_target_")), f"{key}._target_")).parameters


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
    target = str(spec["_target_"])
    arguments = {name: value for name, value in spec.items() if name not in ("name", "_target_")}
    check_arguments(key, locate(target, f"{key}._target_"), arguments)
    added = {k: v for k, v in (defaults or {}).items() if k in parameters and k not in arguments}
    needed = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    for name in needed:
        is_named = parameters[name].kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if is_named and name not in {**arguments, **added}:
            raise UserError(f"{key}.{name} is needed by {target}; add +{key}.{name}=<value>")
    try:
        return instantiate({"_target_": target, "_convert_": "all", **arguments}, **added)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            raise cause from None
        raise UserError(f"{key} has arguments that {target} refuses: {cause}") from error

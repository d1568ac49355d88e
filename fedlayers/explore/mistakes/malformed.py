"""What is wrong with a parameter, in one sentence: which it is, what is allowed, what came."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SHORT = 80
# What pydantic calls a mistake -> what is allowed instead, given what it knows of it.
_ALLOWED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "int_parsing": lambda _: "a whole number",
    "int_type": lambda _: "a whole number",
    "int_from_float": lambda _: "a whole number",
    "int_parsing_size": lambda _: "a whole number that is not so large",
    "float_parsing": lambda _: "a number",
    "float_type": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "bool_parsing": lambda _: "true or false",
    "bool_type": lambda _: "true or false",
    "string_type": lambda _: "a text",
    "list_type": lambda _: "a list",
    "dict_type": lambda _: "an object",
    "model_attributes_type": lambda _: "an object",
    "greater_than_equal": lambda known: f"{_number(known['ge'])} or more",
    "greater_than": lambda known: f"more than {_number(known['gt'])}",
    "less_than_equal": lambda known: f"{_number(known['le'])} or less",
    "less_than": lambda known: f"less than {_number(known['lt'])}",
    "literal_error": lambda known: f"one of {known['expected'].replace(' or ', ', ').replace(chr(39), '')}",
    "enum": lambda known: f"one of {known['expected'].replace(' or ', ', ').replace(chr(39), '')}",
    "string_too_long": lambda known: f"a text of at most {known['max_length']} characters",
    "string_too_short": lambda known: f"a text of {known['min_length']} characters or more",
    "too_long": lambda known: f"at most {known['max_length']} of them",
    "too_short": lambda known: f"{known['min_length']} of them or more",
}


def malformed_sentence(problems: Sequence[Mapping[str, Any]]) -> str:
    """Return what is wrong with a request's parameters: the first mistake, and how many more there are.

    Args:
        problems: as pydantic lists them, one or more.

    Examples:
        >>> problem = {"type": "greater_than_equal", "loc": ("query", "limit"), "ctx": {"ge": 1}, "input": "0"}
        >>> malformed_sentence([problem])
        "limit must be 1 or more, got '0'"
    """
    more = len(problems) - 1
    return _sentence(problems[0]) + (f" (and {more} more parameter{'s' if more > 1 else ''})" if more else "")


def _sentence(problem: Mapping[str, Any]) -> str:
    kind, known = str(problem["type"]), problem.get("ctx") or {}
    name = _name(problem["loc"])
    if kind == "extra_forbidden":
        return f"{name} must be left out, for there is no such parameter: /docs lists those that there are"
    if kind == "missing":
        return f"{name} must be given"
    if kind == "json_invalid":
        return f"the body must be JSON, got something else ({known.get('error', 'malformed')})"
    # Of what is rare, pydantic's own words.
    told = str(problem.get("msg", "well-formed")).removeprefix("Input should be ")
    allowed = _ALLOWED[kind](known) if kind in _ALLOWED else told
    got = repr(problem.get("input"))
    return f"{name} must be {allowed}, got {got if len(got) <= _SHORT else got[:_SHORT] + '…'}"


def _name(where: Sequence[object]) -> str:
    """Return the name of a parameter; of one of several values, the parameter's."""
    if where[0] != "body":
        return str((where[1:] or where)[0])
    inside = [str(part) for part in where[1:] if isinstance(part, str)]
    return ".".join(inside) or "the body"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else str(value)

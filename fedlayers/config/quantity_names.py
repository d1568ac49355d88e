"""Which option measures a quantity, for those who ask for the quantity by its name, as in ``metrics=[accuracy]``."""

from collections.abc import Sequence

from fedlayers.config.class_names import locate
from fedlayers.config.options import LISTS, options, target_of
from fedlayers.core.quantities import quantity_now
from fedlayers.core.spelling import nearest


def asks_for(quantity: str) -> tuple[str, str, str] | None:
    """Return the quantity, the group and the option that measures it; None if there is none of that name or like it.

    Importing the metrics takes a second or two; only a mistake waits for it.

    Args:
        quantity: a value of the column ``metric``, upper and lower case alike, perhaps misspelt.
    """
    known, quantity = _options_by_quantity(), quantity_now(quantity)
    close = nearest(quantity, known, cutoff=0.8)
    return (close, *known[close]) if close else None


def with_option(word: str, wrong: str, group: str, option: str) -> str:
    """Return ``metrics=[weights,evaluation]`` for ``metrics=[weights,accuracy]``.

    Args:
        word: what was typed.
        wrong: the option that does not exist.
        group: the group of the right one.
        option: the right one.
    """
    key, _, value = word.lstrip("+").partition("=")
    listed = [item.strip() for item in value.strip("[]").split(",")] if key == group else []
    chosen = dict.fromkeys(option if item == wrong else item for item in listed) or {option: None}
    return f"{group}=[{','.join(chosen)}]"


def _options_by_quantity() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    # What both measure is asked of the similarity, whose values have errors and chance beside them.
    for group in reversed(LISTS):
        for option in options()[group]:
            facts: Sequence[object] = getattr(locate(target_of(group, option), f"{group}.{option}"), "facts", ())
            for fact in facts if isinstance(facts, Sequence) else ():
                found.setdefault(str(getattr(fact, "name", "")), (group, option))
    return found

"""Plug-ins of all kinds are built by one function: what it passes on, what it fills in, what it refuses."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clients.fedavg import FedAvgClient
from fedlayers.config.building import build_plugin, plugin_maker
from fedlayers.config.signatures import signature_of
from fedlayers.core.errors import UserError
from fedlayers.data.source import source_of
from fedlayers.flower.client_plugin import client_maker, try_client
from fedlayers.flower.session import Session


class Thing:
    """Takes a number, a list and perhaps another thing."""

    def __init__(self, size: int, parts: Sequence[float] = (), inner: "Thing | None" = None) -> None:
        if size < 0:
            raise ValueError(f"size must be 0 or more,\ngot {size}")
        if size == 13:
            raise RuntimeError("unlucky\nsecond line")
        self.size, self.parts, self.inner = size, parts, inner


class Derived(Thing):
    """Passes on what it does not know, and gives one argument itself."""

    def __init__(self, colour: str = "red", **thing: Any) -> None:
        super().__init__(parts=[1.0], **thing)
        self.colour = colour


class Pair(NamedTuple):
    """Has no constructor of its own."""

    left: int
    right: int = 0


class Picky(FedAvgClient):
    """A client that looks at its argument before its session, or never at it."""

    def __init__(self, session: Session, depth: int) -> None:
        if depth > 9:
            raise ValueError(f"depth must be at most 9, got {depth}")
        super().__init__(session)
        self.depth = depth


def give(value: Any) -> Any:
    """Return what came, whatever it is."""
    return value


HERE = __name__


def node(name: str = "Thing", **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"{HERE}.{name}", **arguments}


def test_plug_ins_among_the_arguments_are_built_first() -> None:
    thing = build_plugin("model", {"name": "label", **node(size=1, inner=node(size=2, parts=[1, 2.5]))}, Thing)
    assert (thing.size, thing.inner.size, thing.inner.parts) == (1, 2, [1, 2.5])
    assert type(thing.inner.parts) is list


def test_what_one_node_is_built_into_twice_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, nested = node("give", value={"a": [1, 2.5, None]}), node("give", value=node(size=1))
    first, second = build_plugin("own", plain), build_plugin("own", plain)
    first["a"].append("mine")
    assert second == plain["value"] == {"a": [1, 2.5, None]}
    assert build_plugin("own", nested) is not build_plugin("own", nested)
    # What stands for something else is looked up each time.
    for name in ("one", "two"):
        monkeypatch.setenv("NAME_OF_A_THING", name)
        assert build_plugin("own", node("give", value="${oc.env:NAME_OF_A_THING}")) == name
    assert [build_plugin("own", node("give", value=value)) for value in (1, True, 1.0)] == [1, True, 1.0]
    assert [type(build_plugin("own", node("give", value=value))) for value in (1, True, 1.0)] == [int, bool, float]


def test_what_is_filled_in_goes_where_it_is_taken_and_not_given() -> None:
    filled = {"size": 3, "colour": "blue", "unknown": 0}
    assert build_plugin("thing", node(), Thing, filled_in=filled).size == 3
    assert build_plugin("thing", node(size=4), Thing, filled_in=filled).size == 4
    derived = build_plugin("thing", node("Derived"), Thing, filled_in=filled)
    assert (derived.size, derived.colour, derived.parts) == (3, "blue", [1.0])


def test_hydras_own_keys_work() -> None:
    assert build_plugin("thing", node("Pair", _args_=[1, 2])) == Pair(1, 2)
    later = build_plugin("thing", node("give", value=node(size=5, _partial_=True)))
    assert isinstance(later, functools.partial) and later().size == 5


def test_a_maker_is_given_the_first_arguments_when_it_is_called() -> None:
    make = plugin_maker("thing", node("Pair", right=7), by_position=1)
    assert make(1) == Pair(1, 7)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (3, r"^thing must be a class with its arguments, got 3; name the class by thing._target_=<package"),
        ({"size": 1}, "^thing._target_ is missing: give the class or function by its full name"),
        ({"_target_": 3}, "^thing._target_ is missing: give"),
        ({"_target_": "nowhere.Thing"}, "^thing._target_=nowhere.Thing: there is no module nowhere; give an import"),
        (node("Thingy"), r"has no class or function Thingy; did you mean thing._target_=.*\.Thing\?$"),
        (node(), r"^thing.size is needed by .*Thing; add \+thing.size=<value>$"),
        (node(sise=1), r"^thing.sise: Thing has no argument 'sise'; did you mean thing.size\?$"),
        (node(size="big"), "^thing.size must be a whole number, got 'big'$"),
        (node(size=1, parts=3), r"^thing.parts must be a list, such as \[a,b\], got 3$"),
        (node(size=-1), "^thing.size must be 0 or more, got -1$"),
        (node(size=13), "^thing cannot be built from .*Thing: RuntimeError: unlucky$"),
        (node(size=1, inner=node(size=-1)), "^thing.inner.size must be 0 or more, got -1$"),
        (node(size=1, inner=node(size=13)), "^thing.inner cannot be built from .*Thing: RuntimeError: unlucky$"),
        (node(size=1, inner=node(siz=1)), r"^thing.inner.siz: Thing has no .*; did you mean thing.inner.size\?$"),
        (node("give", value={"a": [node(siz=1)]}), r"^thing.value.a\[0\].siz: Thing has no argument 'siz'"),
        (node("give", value=1), "^thing._target_ must be a thing, got .*give, which gives a int$"),
        (node("Pair", left=1), "^thing._target_ must be a thing, got .*Pair, which is a Pair$"),
        (node("give", valu=1), r"^thing.valu: give has no argument 'valu'; did you mean thing.value\?$"),
        ({"_target_": "builtins.max", "x": 1}, "^thing cannot be built from builtins.max: TypeError: "),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_one_sentence_that_names_the_key(content: Any, text: str) -> None:
    with pytest.raises(UserError, match=text) as caught:
        build_plugin("thing", content, Thing, "a thing")
    assert "\n" not in str(caught.value)


def test_the_key_is_the_one_that_decides() -> None:
    above = {"size": "algorithm.size"}
    for size, text in {-1: "^algorithm.size must be 0 or more", "x": "^algorithm.size must be a whole number"}.items():
        with pytest.raises(UserError, match=text):
            build_plugin("algorithm.client", node(size=size), Thing, above=above)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import no_such_library_at_all", r"raises ModuleNotFoundError: No module .*\(broken_a.py, line 1\)$"),
        ("x = 1\nx / 0", r"raises ZeroDivisionError: division by zero \(broken_b.py, line 2\)$"),
        ("def x(:", r"raises SyntaxError: invalid syntax \(broken_c.py, line 1\)$"),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_imported(
    code: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = text.partition("(")[2].partition(".py")[0]
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=rf"^model._target_={name}.Net: importing {name} {text}"):
        build_plugin("model", {"_target_": f"{name}.Net"})


def test_a_data_set_that_is_none() -> None:
    with pytest.raises(
        UserError, match=r"dataset._target_ must be a data set with files\(root\) and read\(root\), got"
    ):
        source_of({"name": "own", "_target_": "collections.OrderedDict"})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "algorithm.client.depth is needed by .*Picky"),
        ({"depth": 10}, "^algorithm.client.depth must be at most 9, got 10$"),
        ({"depth": 1, "session": "mine"}, "algorithm.client.session: Picky has no argument 'session'; it has depth$"),
    ],
)
def test_clients_are_tried_without_data(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        try_client(node("Picky", **arguments))
    made = client_maker(node("Picky", depth=2))(None)  # type: ignore[arg-type]
    assert isinstance(made, Picky) and made.depth == 2


def test_signatures() -> None:
    thing = signature_of(Thing)
    assert (list(thing.hints), thing.needed, thing.takes_any) == (["size", "parts", "inner"], ("size",), False)
    derived = signature_of(Derived)
    # The class may give what its parent needs.
    assert (list(derived.hints), derived.needed) == (["colour", "size", "parts", "inner"], ())
    pair = signature_of(Pair)
    assert (pair.hints, pair.needed, pair.takes_any) == ({"left": int, "right": int}, ("left",), False)
    assert signature_of(give).needed == signature_of(functools.partial(give)).needed == ("value",)
    assert signature_of(dict).takes_any and signature_of(max).takes_any
    assert list(signature_of(Picky, by_position=1).hints) == ["depth"]

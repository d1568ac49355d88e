"""Advice that can be followed: what a message says to write is typed, and is understood."""

import re
import shlex

import pytest

from fedlayers.config.advice import advice
from fedlayers.config.arguments import read_arguments
from fedlayers.config.class_names import locate
from fedlayers.config.compose import compose_config
from fedlayers.config.options import known_keys, options, targets
from fedlayers.config.quantity_names import asks_for, with_option
from fedlayers.core.errors import UserError
from fedlayers.execution.build import check_parts
from tests.config.test_command_line import MISTAKES

_MEANT = re.compile(r"did you mean ([^?]+?)(?: \(| or |\?)|(?:[:;]|to run that one|now, so) write ([+\w.]+=[^,;]+)")
_NOT_UNDERSTOOD = re.compile("no such|has no|cannot read|no module|must be a strategy|would have no effect")
LINES = [
    line for line, text in MISTAKES.items()
    if ("did you mean" in text or "write " in text) and "-m" not in line.split() and "--" not in line
]  # fmt: skip


def told(words: list[str]) -> str:
    """Return the sentence with which words are refused; "" if they are not."""
    try:
        check_parts(compose_config(read_arguments(words).overrides))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("line", LINES)
def test_what_a_message_says_to_write_is_understood(line: str) -> None:
    words = shlex.split(line)
    said = told(words)
    found = _MEANT.search(said)
    if found is None or "<" in (found[1] or found[2]) or "key=value" in said:
        return
    meant = found[1] or found[2]
    wrong = _wrong_word(words, said)
    corrected = meant.split() if "=" in meant else [f"{meant}={wrong.partition('=')[2]}"]
    said_anew = {word.partition("=")[0] for word in corrected}
    kept = [word for word in words if word != wrong and "=" in word and word.partition("=")[0] not in said_anew]
    again = told([*kept, *corrected])
    assert not _NOT_UNDERSTOOD.search(again), f"{line} -> {said} -> {corrected} -> {again}"


def _wrong_word(words: list[str], said: str) -> str:
    """Return the word that a sentence is about: the one whose key or value stands in it first."""
    named = [word for word in words if word.lstrip("+").partition("=")[0] in said]
    return min(named or words, key=lambda word: said.find(word.lstrip("+").partition("=")[0]))


def test_a_key_with_a_slip_of_the_pen_is_recognised() -> None:
    """Every key with two letters swapped or one left out; a name of three letters may be anything."""
    known = {*known_keys(())}
    for key in (key for key in known if len(key.rpartition(".")[2]) > 4):
        parent, dot, last = key.rpartition(".")
        for slip in (last[:-2] + last[-1] + last[-2], last[:2] + last[3:]):
            if slip != last and f"{parent}{dot}{slip}" not in known:
                assert advice(f"{parent}{dot}{slip}", ()) == f"did you mean {key}?"


def test_every_quantity_leads_to_the_option_that_measures_it() -> None:
    for quantity, option in {
        "accuracy": "evaluation", "loss": "evaluation", "macro_f1": "evaluation", "hessian_trace": "curvature",
        "gradient_norm": "gradients", "update_norm": "weights", "l2_dst": "distances", "silhouette": "clusters",
        "effective_rank": "representation", "sensitivity_cumulative": "sensitivity",
    }.items():  # fmt: skip
        assert asks_for(quantity) == (quantity, "metrics", option)
    # Both measure it: the similarity with errors and chance.
    assert asks_for("cka_distance") == asks_for("cka_dst") == ("cka_distance", "similarity", "cka")
    assert asks_for("Accuracy") == ("accuracy", "metrics", "evaluation")
    assert asks_for("no_such_thing_at_all") is None
    assert (
        with_option("metrics=[weights,accuracy]", "accuracy", "metrics", "evaluation") == "metrics=[weights,evaluation]"
    )
    assert with_option("metrics=[evaluation,accuracy]", "accuracy", "metrics", "evaluation") == "metrics=[evaluation]"
    assert with_option("metrics=[gradients,x]", "x", "similarity", "cka") == "similarity=[cka]"


def test_the_classes_of_all_options_are_found_by_their_last_name() -> None:
    for group in ("dataset", "partition", "model", "algorithm.strategy", "algorithm.client"):
        for target in targets(group):
            name = target.rpartition(".")[2]
            with pytest.raises(UserError, match=r"did you mean ([a-z]+=\w+)\?") as caught:
                locate(name, f"{group}._target_")
            option = str(caught.value).rpartition("=")[2].rstrip("?")
            assert option in options()[group.partition(".")[0]], name
    assert set(options()) >= {"dataset", "model"}

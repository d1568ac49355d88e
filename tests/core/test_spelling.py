"""What was probably meant."""

from fedlayers.core.spelling import did_you_mean, in_brackets, likeness, nearest


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("Wieghts", ["gradients", "weights"]) == "weights"
    assert nearest("fedyogi", ["FedAdam", "FedYogi"]) == "FedYogi"
    assert nearest("x", ["gradients", "weights"]) is None
    assert nearest("weight", ["weights"], cutoff=0.95) is None
    assert nearest("a" * 100_000, ["a" * 100]) == "a" * 100


def test_likeness_and_question() -> None:
    assert likeness("lr", "LR") == 1 and likeness("lr", "xy") == 0
    assert did_you_mean("weights", "look") == "did you mean weights?"
    assert did_you_mean(None, "look") == "look"
    assert in_brackets("weigths", ["weights"]) == " (did you mean weights?)" and in_brackets("x", ["weights"]) == ""

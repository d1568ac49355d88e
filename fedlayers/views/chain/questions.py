"""The three questions that are asked of a chain of layers, and which quantities answer each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """What is asked of the layers of a model.

    Attributes:
        name: ``predictive``, ``compressing`` or ``different``.
        text: the question.
        quantities: quantity -> what a rise over depth says: 1 yes, −1 no, 0 nothing about this question. The first one
            answers by default, the others stand beside it.
        neighbours: of questions about neighbours, quantity -> its value if two layers were the same, and if they had
            nothing in common.
    """

    name: str
    text: str
    quantities: Mapping[str, int]
    neighbours: Mapping[str, tuple[float, float]]

    @property
    def main(self) -> str:
        """The quantity that answers by default."""
        return next(iter(self.quantities))


QUESTIONS = (
    Question(
        "predictive",
        "Are later layers more predictive?",
        {
            "probe_accuracy": 1,
            "anchor_accuracy": 1,
            "probe_f1": 1,
            "label_information": 1,
            "anchor_cross_entropy": -1,
        },
        {},
    ),
    Question(
        "compressing",
        "Are layers compressing?",
        {"participation_ratio": -1, "gaussian_entropy": -1, "input_information": -1},
        {},
    ),
    Question(
        "different",
        "Do layers differ from their neighbours?",
        {"cka_previous": 0, "ridge_r2_next": 0, "ace_js": 0, "probe_js": 0, "anchor_margin": 0},
        {
            "cka_previous": (1.0, 0.0),
            "ridge_r2_next": (1.0, 0.0),
            "ace_js": (0.0, math.log(2)),
            "probe_js": (0.0, math.log(2)),
        },
    ),
)
QUESTION_OF = {quantity: question for question in QUESTIONS for quantity in question.quantities}

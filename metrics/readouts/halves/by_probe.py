"""What is read off a stage by a linear probe that was fitted to one half of the examples and scored on the other."""

from collections.abc import Sequence

from metrics.classification import confusion_matrix, scores_from_confusion
from metrics.geometry.chance import against_chance
from metrics.geometry.label_information import label_information, label_informations
from metrics.readouts.halves.half_smoother import HalfSmoother
from metrics.readouts.halves.halves_probe import probe_predictions
from metrics.readouts.halves.weighted_f1 import weighted_f1
from metrics.readouts.probe_labels import ProbeLabels
from metrics.readouts.reading import Reading

OF_ONE = ("probe_accuracy", "probe_f1", "label_information")


def probe_readings(smoothers: Sequence[HalfSmoother], labels: ProbeLabels) -> dict[str, Reading]:
    """Return accuracy, weighted F1 and label information of the held-out predictions, against shuffled labels.

    Every shuffle of the labels has probes of its own: what chance gives includes what fitting gives.

    Args:
        smoothers: of both halves of n examples.
        labels: of the examples; there must be no reason why nothing can be said about them.
    """
    true, classes = labels.labellings, labels.classes
    predicted = probe_predictions(smoothers, true, classes)
    accuracies = (predicted == true).double().mean(1)
    f1 = weighted_f1(true, predicted, classes)
    information = label_informations(true, predicted, classes)
    scores = scores_from_confusion(confusion_matrix(true[0], predicted[0], classes))
    errors = (scores["accuracy"].stderr, scores["weighted_f1"].stderr, label_information(true[0], predicted[0])[1])
    return {
        name: Reading(float(values[0]), error, against_chance(float(values[0]), values[1:]))
        for name, values, error in zip(OF_ONE, (accuracies, f1, information), errors, strict=True)
    }

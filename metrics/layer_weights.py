"""Which parameters of a layer are weights."""

from fedlayers.layers import Layer, Parameter


def layer_weights(layer: Layer) -> tuple[Parameter, ...]:
    """Return the parameters of a layer that are no biases (roles other than ``bias`` and ``norm_bias``)."""
    return tuple(parameter for parameter in layer.parameters if not parameter.role.endswith("bias"))

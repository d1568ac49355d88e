"""Densities of eigenvalues, layer by layer."""

import pandas as pd

from fedlayers.views.moments import at_moments, one_moment
from fedlayers.views.numbered import numbered
from fedlayers.views.thinning import evenly

_METRIC = "hessian_density"
_MOST_LAYERS = 20


def layer_densities(spectra: pd.DataFrame) -> pd.DataFrame:
    """Return the densities of layers in all rounds, at one moment."""
    rows = spectra[(spectra["metric"] == _METRIC) & (spectra["status"] == "ok") & spectra["layer"].notna()]
    _, found = one_moment(at_moments(rows))
    return found


def hessian_densities(spectra: pd.DataFrame) -> pd.DataFrame:
    """Return the densities of layers in the last round that has some, at one moment.

    Returns:
        Rows with columns ``panel, panel_name``: the layer's; of more than twenty layers twenty have a panel, spaced
        evenly, and the others −1.
    """
    found = layer_densities(spectra)
    last = found[found["round"] == found["round"].max()]
    layers = last.drop_duplicates("layer_index").sort_values("layer_index")
    shown = evenly(list(zip(layers["layer_index"], layers["layer"].astype(str), strict=True)), _MOST_LAYERS)
    return numbered(last, [(name, last[last["layer_index"] == index]) for index, name in shown], "panel")

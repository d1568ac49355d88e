"""What to do about a key that does not exist: the one that was probably meant, or what measures what was asked for."""

from collections.abc import Sequence

from fedlayers.config.options import LISTS, choice, known_keys, options
from fedlayers.config.quantity_names import asks_for
from fedlayers.config.schema.old_names import new_key
from fedlayers.core.spelling import did_you_mean, likeness, nearest

# What other programs call it -> what it is called here.
_OTHER_NAMES = {
    "learning_rate": "training.lr",
    "local_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "local_steps": "training.steps",
    "num_rounds": "rounds",
    "num_clients": "clients",
    "n_clients": "clients",
    "fraction_train": "fraction",
    "fraction_fit": "fraction",
    "random_seed": "seed",
    "output_dir": "results_dir",
    "out_dir": "results_dir",
    "data_root": "data_dir",
    "data_path": "data_dir",
    "data_folder": "data_dir",
    "data_directory": "data_dir",
    "dataset_path": "data_dir",
    "dataset_dir": "data_dir",
    "datasets_dir": "data_dir",
    "gpu": "device",
    "num_workers": "engine.workers",
    "num_threads": "client_threads",
    "strategy": "algorithm",
    "client": "algorithm",
    "method": "algorithm",
    "data": "dataset",
    "network": "model",
    "analytics": "metrics",
    "name": "study",
}


def nearest_key(key: str, keys: Sequence[str]) -> str | None:
    """Return the key that was probably meant: its other name, one with the same last part, or spelt like it."""
    plain = key.replace("/", ".").replace("-", "_").lower()
    parent, dot, last = plain.rpartition(".")
    other = _OTHER_NAMES.get(last)
    if other and other.startswith(parent + dot):
        return other
    if not parent and (close := nearest(plain, [known for known in keys if "." not in known], cutoff=0.8)):
        return close
    ends: dict[str, list[str]] = {}
    for known in keys:
        ends.setdefault(known.rpartition(".")[2].lower(), []).append(known)
    beside = {end: known for end, all_known in ends.items() for known in all_known if known == f"{parent}.{end}"}
    if beside and (close := nearest(last, beside)):
        return beside[close]
    same = ends.get(last) or (None if beside else ends.get(nearest(last, ends) or ""))
    if same:
        return min(same, key=lambda known: (known.count("."), -likeness(plain, known), known))
    return None if beside else nearest(plain, [known for known in keys if not plain.startswith(f"{known}.")])


def advice(key: str, words: Sequence[str]) -> str:
    """Return what to do about a key that does not exist: its new name, the nearest one, or where to look."""
    now = new_key(key)
    return f"it is called {now} now" if now else _guess(key, words)


def _guess(key: str, words: Sequence[str]) -> str:
    """Return what was probably meant by a key: the nearest one, one of its neighbours, or where to look."""
    group, _, option = key.replace("/", ".").partition(".")
    if option in options().get(group, []):
        return did_you_mean(choice(group, option))
    named = option.partition(".")[0]
    if group in LISTS and not nearest(named, options()[group], cutoff=0.8) and (asked := _quantity(key)):
        return asked
    keys = known_keys(words)
    if close := nearest_key(key, [*keys, *options()]):
        return did_you_mean(close)
    parent = key.rpartition(".")[0]
    beside = [known.rpartition(".")[2] for known in keys if parent and known.rpartition(".")[0] == parent]
    if beside:
        return f"{parent} has {', '.join(beside)}"
    if asked := _quantity(key):
        return asked
    return "--cfg job shows all keys and --help the groups"


def _quantity(key: str) -> str:
    """Return what measures a quantity that was asked for as a key, as in metrics.accuracy; "" if it is none."""
    parts = key.split(".")
    name = parts[1] if parts[0] in LISTS and len(parts) > 1 else key
    if "." in name or not name.isidentifier():
        return ""
    found = asks_for(name)
    return f"{found[0]} is a quantity of {found[2]}: write {choice(found[1], found[2])}" if found else ""

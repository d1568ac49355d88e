"""Whether all nodes of a Ray cluster see the same files: the run folder and the data."""

from collections.abc import Mapping
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedlayers.core.errors import UserError

# How long a node may take to answer; its first process imports this package.
ANSWER_S = 120.0


def check_shared(folders: Mapping[str, Path]) -> str:
    """Make sure that every node of the cluster we have joined sees the same content in some folders.

    Args:
        folders: what a folder is, such as ``run folder (results_dir)`` -> the folder.

    Returns:
        A sentence about the cluster.

    Raises:
        UserError: a node does not answer, or one of the folders is another one there or cannot be read.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    paths = {what: str(folder.resolve()) for what, folder in folders.items() if folder.is_dir()}
    mine = {what: _content(path) for what, path in paths.items()}
    look = ray.remote(num_cpus=0)(_contents)
    asked = {
        node["NodeManagerHostname"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(paths)
        for node in nodes
    }
    answers = {host: _answer(host, reference) for host, reference in asked.items()}
    for host, answer in answers.items():
        for what, content in answer.items():
            if content != mine[what]:
                raise UserError(
                    f"engine.address joins a cluster whose nodes must all see the {what}, got {paths[what]}, which "
                    f"node {host} {'cannot read' if content is None else 'has with another content'}; put it on a "
                    "file system that the nodes share"
                )
    total = ray.cluster_resources()
    hosts = ", ".join(sorted(asked)[:8]) + (", …" if len(asked) > 8 else "")
    return (
        f"Ray cluster of {len(nodes)} node{'s' if len(nodes) > 1 else ''} ({hosts}) with {total.get('CPU', 0):g} CPUs "
        f"and {total.get('GPU', 0):g} GPUs; seen from every node: {', '.join(paths)}"
    )


def _answer(host: str, reference: "ray.ObjectRef[dict[str, str | None]]") -> dict[str, str | None]:
    """Return what a node sees; nothing if it has left the cluster since it was listed, so that no client runs there."""
    try:
        answer: dict[str, str | None] = ray.get(reference, timeout=ANSWER_S)
    except ray.exceptions.TaskUnschedulableError:
        return {}
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__
        raise UserError(
            f"engine.address joins a cluster whose node {host} does not answer ({reason}); this package, in the same "
            "version, must be installed or lie in the same folder on every node"
        ) from error
    return answer


def _contents(paths: Mapping[str, str]) -> dict[str, str | None]:
    return {what: _content(path) for what, path in paths.items()}


def _content(path: str) -> str | None:
    """Return what tells a folder from others of its name: who holds its run.lock, the names in it."""
    folder = Path(path)
    try:
        lock = folder / "run.lock"
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        return (lock.read_text() if lock.is_file() else "") + "/".join(names)
    except OSError:
        return None

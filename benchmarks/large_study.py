"""A study of 500 runs: seconds to compose it before its first run starts, to aggregate it, and to write its report.

One small run is carried out; its folder is copied under the names of the other runs, with their settings. Usage:
``python benchmarks/large_study.py [runs]``. Leaves with 1 if a limit is exceeded.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from fedlayers.commands.in_python import run
from fedlayers.config.arguments import overrides_of
from fedlayers.config.schema.settings import Config, canonical, identity
from fedlayers.figures.draw import draw_main
from fedlayers.report.page import write_report
from fedlayers.runs.folder import plain, run_folder
from fedlayers.studies.aggregate import aggregate
from fedlayers.studies.status import study_status
from fedlayers.studies.study import Sweep, compose_sweep

LIMITS_S = {"compose": 10.0, "aggregate": 60.0, "aggregate again": 60.0, "report": 60.0, "status": 60.0}
SMALL = ["dataset=digits", "clients=4", "rounds=2", "examples_per_client=60", "engine=local", "progress=none"]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compose(runs: int, folder: str) -> Sweep:
    """Return a sweep of so many runs: ten learning rates, the rest seeds."""
    rates = ",".join(str(0.01 * (1 + number)) for number in range(10))
    seeds = f"seed=range({max(runs // 10, 1)})"
    words = [*SMALL, f"results_dir={folder}", "study=large", "figures=false", f"training.lr={rates}", seeds]
    return compose_sweep(overrides_of(words))


def copy_runs(source: Path, configs: Sequence[Config]) -> Path:
    """Copy a finished run under the names of others, and return their study's folder."""
    for config in configs:
        target = run_folder(config)
        if target == source:
            continue
        shutil.copytree(source, target)
        facts = json.loads((target / "run.json").read_text())
        facts |= {"run": target.name, "seed": config.seed, "identity": identity(config)}
        (target / "run.json").write_text(json.dumps(facts))
        content = {**plain(config), "identity": canonical(config)}
        (target / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return source.parent


def main() -> None:
    """Print the seconds beside their limits."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        sweep = compose(runs, folder)
        seconds = {"compose": time.perf_counter() - began}
        first = sweep.configs[0]
        words = [*SMALL, f"results_dir={folder}", "study=large", "figures=false"]
        source = run([*words, f"training.lr={first.training.lr}", f"seed={first.seed}"]).runs[0]
        study = copy_runs(source, sweep.configs)
        seconds["aggregate"] = timed(lambda: aggregate(study))
        seconds["aggregate again"] = timed(lambda: aggregate(study))
        seconds["report"] = timed(lambda: write_report(study))
        seconds["status"] = timed(lambda: study_status(study))
        seconds["figures"] = timed(lambda: draw_main(study))
        print(f"{len(sweep.configs)} runs, {aggregate(study).rows:,} records")
    for name, taken in seconds.items():
        limit = f" (at most {LIMITS_S[name]:.0f})" if name in LIMITS_S else ""
        print(f"{name:16s} {taken:7.1f} s{limit}")
    sys.exit(any(taken > LIMITS_S.get(name, taken) for name, taken in seconds.items()))


if __name__ == "__main__":
    main()

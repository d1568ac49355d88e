"""``python -m metrics.resource_usage MODULE:FUNCTION``: memory of a training step against batch size."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.core.machine.devices import resolve_device
from metrics.resource_usage.batch_sweep import SIZES, sweep_batch_sizes
from metrics.resource_usage.monitor import ResourceMonitor

_ABOUT = """Runs one training step at growing batch sizes until the next one might not fit, and draws their memory.

MODULE:FUNCTION is yours: without arguments it returns a function that trains one step with as many examples as it is
given, on the device you choose."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line a batch size, write table and figure; return the exit status."""
    parser = argparse.ArgumentParser("python -m metrics.resource_usage", description=_ABOUT)
    parser.add_argument("step", metavar="MODULE:FUNCTION")
    parser.add_argument("--sizes", type=_numbers, default=SIZES, help="rising batch sizes, such as 8,16,32")
    parser.add_argument("--limit-mb", type=float, help="most memory to use (default: 80 %% of what is free)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the step runs")
    parser.add_argument("--save-dir", type=Path, default=Path("visualizations/resource_usage"))
    asked = parser.parse_args(arguments)
    try:
        step, device = _step(asked.step), resolve_device(asked.device)
        limit = None if asked.limit_mb is None else int(asked.limit_mb * 1e6)
        found = sweep_batch_sizes(step, asked.sizes, device, limit)
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for one in found:
        told = f"{one.peak_bytes / 1e6:,.0f} MB" if one.peak_bytes is not None else f"not run: {one.reason}"
        print(f"batch size {one.batch_size:>6}: {told}")
    monitor = ResourceMonitor(asked.save_dir, device)
    monitor.add_sweep(found)
    for path in monitor.visualize() or []:
        print(path)
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"rising whole numbers with commas, such as 8,16,32, got {text!r}") from None


def _step(text: str) -> Callable[[int], Any]:
    """Return the step that ``module:function`` makes.

    Raises:
        UserError: there is no such function, or it returns no function.
    """
    name, _, function = text.partition(":")
    # As `python -m` finds what lies in this folder.
    sys.path.insert(0, "")
    try:
        make = getattr(import_module(name), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"step must be MODULE:FUNCTION, such as mine:make_step, got {text!r} ({error})") from error
    step = make()
    if not callable(step):
        raise UserError(f"{text} must return a function of the batch size, got {type(step).__name__}")
    checked: Callable[[int], Any] = step
    return checked


if __name__ == "__main__":
    sys.exit(main())

"""The service asked by Schemathesis what its own description allows, and what it does not: it never fails."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from tests.support.fake_run import write_run

# The stream of events has no end.
ENDLESS = "/api/events"
# No answer over five seconds; the same questions on any machine.
CAREFUL = settings(
    max_examples=6, deadline=5000, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def operations(run: Path) -> list[Any]:
    app = application(Place.at(run.parent), names=["testserver"])
    described: Any = schemathesis.openapi.from_asgi("/openapi.json", app)
    found = [result.ok() for result in described.get_all_operations()]
    return [operation for operation in found if operation.path != ENDLESS]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_question_makes_it_fail(operations: list[Any], run: Path, mode: GenerationMode) -> None:
    asked = set()
    # Nothing is wrong about a question without a parameter in its path: what its query says may be left out.
    tried = [one for one in operations if mode is GenerationMode.POSITIVE or one.path_parameters]
    for operation in tried:

        @CAREFUL
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
        def ask(case: Any, known: bool) -> None:
            if known and "run" in (case.path_parameters or ()):
                case.path_parameters["run"] = run.name
            asked.add(case.operation.label)
            case.call_and_validate(excluded_checks=[negative_data_rejection])

        ask()
    assert asked == {operation.label for operation in tried}

"""What is different about a client: its records, two models' answers, and the directions that tell them apart."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import BaseModel, Field
from starlette.responses import Response

from fedlayers.explore.routes.answering import SLOW, Wait, slow_answer
from fedlayers.explore.service import RunFolder, Served

router = APIRouter(prefix="/runs/{run}", tags=["heterogeneity"], responses=SLOW)

_INT32 = 2**31 - 1
Client = Annotated[int, InPath(ge=0, le=_INT32, description="A client's number.")]
Round = Annotated[
    int | None, Query(ge=0, le=_INT32, description="Of the federated model; the last one kept if absent.")
]
InputSet = Literal["local", "client_train", "client_val", "client_test", "stratified", "systematic"]
Inputs = Annotated[
    InputSet,
    Query(
        description="Which records: the client's own (local: all of them), or samples of the space that these span, at "
        "random within strata or on a regular grid, which nobody labelled."
    ),
]
Alpha = Annotated[
    float | None, Query(ge=0, le=1e9, allow_inf_nan=False, description="Weight of the background; chosen if absent.")
]
Components = Annotated[int, Query(ge=1, le=10)]
Numbers = Annotated[list[Annotated[int, Field(ge=0, le=_INT32)]], Field(max_length=200_000)]
Part = Literal["scores", "loadings"]


@router.get("/parameters", response_class=Response)
async def parameters(
    service: Served,
    folder: RunFolder,
    layer: Annotated[str, Query(max_length=500, description="A layer, or All.")] = "All",
    client: Annotated[int | None, Query(ge=0, le=_INT32, description="Whose models; all if absent.")] = None,
    wait: Wait = 4,
) -> Response:
    """Return where the server's models and clients' updates lie in the plane of the server's way: round, owner, x, y,
    cosine.
    """  # noqa: D205
    return await slow_answer(service, folder, "parameters", {"layer": layer, "client": client}, wait, "points")


@router.get("/clients/{client}/outputs", response_class=Response)
async def outputs(
    service: Served, folder: RunFolder, client: Client, round: Round = None, inputs: Inputs = "local", wait: Wait = 4
) -> Response:
    """Return for each record its label, both models' classes and confidence, and how far they differ (nat)."""
    settings = {"client": client, "round": round, "inputs": inputs}
    return await slow_answer(service, folder, "outputs", settings, wait)


@router.get("/clients/{client}/rounds/{table}", response_class=Response)
async def rounds(
    service: Served,
    folder: RunFolder,
    client: Client,
    table: Annotated[Literal["rounds", "records"], InPath(description="In numbers, or each record's class.")],
    inputs: Inputs = "local",
    wait: Wait = 4,
) -> Response:
    """Return for each round how far the federated model and the client's own disagree, or which classes it predicts."""
    return await slow_answer(service, folder, "rounds", {"client": client, "inputs": inputs}, wait, table)


@router.get("/clients/{client}/contrast/{part}", response_class=Response)
async def contrast(
    service: Served,
    folder: RunFolder,
    client: Client,
    part: Part,
    round: Round = None,
    inputs: Inputs = "local",
    alpha: Alpha = None,
    components: Components = 2,
    wait: Wait = 4,
) -> Response:
    """Return the records in directions in which all vary and the inconsistent ones do not, or those directions."""
    settings = {
        "client": client, "round": round, "inputs": inputs, "alpha": alpha, "components": components, "examples": None,
    }  # fmt: skip
    return await slow_answer(service, folder, "contrast", settings, wait, part)


class Cluster(BaseModel, extra="forbid"):
    """Some of a client's records, and how they are looked at."""

    examples: Numbers = Field(min_length=1, description="The numbers of the records.")
    round: int | None = Field(default=None, ge=0, le=_INT32)
    inputs: InputSet = "local"
    alpha: float | None = Field(
        default=None, ge=0, le=1e9, allow_inf_nan=False, description="Weight of the others; chosen if absent."
    )
    components: int = Field(default=2, ge=1, le=10)


@router.post("/clients/{client}/contrast/{part}", response_class=Response)
async def contrast_of(
    service: Served, folder: RunFolder, client: Client, part: Part, cluster: Cluster, wait: Wait = 4
) -> Response:
    """Return the records in the directions that set some of them apart from the others, or those directions."""
    return await slow_answer(service, folder, "contrast", {"client": client, **cluster.model_dump()}, wait, part)


@router.get("/clients/{client}/clusters/{table}", response_class=Response)
async def clusters(
    service: Served,
    folder: RunFolder,
    client: Client,
    table: Annotated[Literal["records", "clusters"], InPath(description="Of records, or of clusters.")],
    round: Round = None,
    inputs: Inputs = "local",
    number: Annotated[int | None, Query(ge=1, le=_INT32, description="As many as stand out if absent.")] = None,
    linkage: Literal["average", "single", "ward"] = "average",
    wait: Wait = 4,
) -> Response:
    """Return the cluster of each inconsistent record, or size, federated accuracy and stability of each cluster."""
    settings = {"client": client, "round": round, "inputs": inputs, "number": number, "linkage": linkage}
    return await slow_answer(service, folder, "clusters", settings, wait, table)


class Maps(BaseModel, extra="forbid"):
    """Some of a client's records, and how maps of them are made."""

    examples: Annotated[list[Annotated[int, Field(ge=0, le=_INT32)]], Field(min_length=1, max_length=1000)]
    method: Literal["grad_cam", "hires_cam", "elementwise", "input_gradients", "integrated_gradients", "attention"] = (
        "grad_cam"
    )
    layer: str | None = Field(default=None, max_length=500, description="Convolutional; the last one if absent.")
    label: int | None = Field(default=None, ge=0, le=_INT32, description="The class; each model's own if absent.")
    round: int | None = Field(default=None, ge=0, le=_INT32)
    inputs: InputSet = "local"


@router.post("/clients/{client}/maps", response_class=Response)
async def maps(service: Served, folder: RunFolder, client: Client, asked: Maps, wait: Wait = 4) -> Response:
    """Return where both models look in some records, and the difference: a map a record, flat."""
    return await slow_answer(service, folder, "maps", {"client": client, **asked.model_dump()}, wait)


@router.get("/shifts", response_class=Response)
async def shifts(
    service: Served,
    folder: RunFolder,
    round: Round = None,
    inputs: Literal["local", "client_train", "client_val", "client_test"] = "client_train",
    wait: Wait = 4,
) -> Response:
    """Return for each client whether its classes, its records or the meaning of its labels differ from the others'."""
    return await slow_answer(service, folder, "shifts", {"round": round, "inputs": inputs}, wait)


@router.get("/clients/{client}/examples", response_class=Response)
async def examples(
    service: Served,
    folder: RunFolder,
    client: Client,
    example: Annotated[list[Annotated[int, Field(ge=0, le=_INT32)]], Query(min_length=1, max_length=100)],
    inputs: Inputs = "local",
    wait: Wait = 4,
) -> Response:
    """Return records as the data set has them."""
    settings: dict[str, Any] = {"client": client, "inputs": inputs, "examples": example}
    return await slow_answer(service, folder, "examples", settings, wait)


@router.get("/clients/{client}/features/{feature}", response_class=Response)
async def feature(
    service: Served,
    folder: RunFolder,
    client: Client,
    feature: Annotated[int, InPath(ge=0, le=_INT32, description="Its place in a record that is laid out flat.")],
    inputs: Inputs = "local",
    wait: Wait = 4,
) -> Response:
    """Return the values of one feature in all of a client's records."""
    return await slow_answer(service, folder, "feature", {"client": client, "inputs": inputs, "feature": feature}, wait)

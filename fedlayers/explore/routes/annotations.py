"""What people note about a run: the one thing that the service writes."""

from typing import Annotated

from fastapi import APIRouter, Path

from fedlayers.explore.annotations import Annotation, Note
from fedlayers.explore.noted import check_note
from fedlayers.explore.service import RunFolder, Served

router = APIRouter(tags=["annotations"])


@router.get("/runs/{run}/annotations")
def annotations(service: Served, folder: RunFolder) -> list[Annotation]:
    """List a run's annotations, oldest first."""
    return service.annotations(folder).all()


@router.post("/runs/{run}/annotations", status_code=201)
def add(service: Served, folder: RunFolder, note: Note) -> Annotation:
    """Keep a note in the run's folder, about a round, a client and examples that the run has."""
    check_note(folder, note)
    return service.annotations(folder).add(note)


@router.delete("/runs/{run}/annotations/{annotation}", status_code=204)
def delete(service: Served, folder: RunFolder, annotation: Annotated[str, Path(max_length=64)]) -> None:
    """Delete an annotation."""
    service.annotations(folder).delete(annotation)

"""The strict pydantic base of every config section."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]

NUMBER = "number"
"""Tells a plain number from the sections that may stand in its place."""


def local_folder(path: Path) -> Path:
    """The path itself, if it is one of this machine's file systems.

    Raises:
        ValueError: it is an address such as s3://bucket/run; says what to write.
    """
    # a path has lost one of the address's slashes
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise ValueError(
            "an address is no folder; write the path under which it is mounted on all nodes, "
            "such as /shared/runs/NAME"
        )
    return path


Folder = Annotated[Path, AfterValidator(local_folder)]


class Section(BaseModel):
    """A part of a run's config: no unknown fields, finite numbers, values that do not change.

    A section that is one of several, and has no field `name`, has a `choice` that names it.
    `elsewhere` says of fields that belong to another section what to write instead.
    """

    choice: ClassVar[str] = ""
    elsewhere: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def section_class(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, also where it may be left empty, or None.

    None as well where there is a choice of sections.
    """
    sections = section_classes(annotation)
    return sections[0] if len(sections) == 1 else None


def section_classes(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field may hold: none, one, or several that are told apart."""
    annotation = _bare(annotation)
    choices = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    bare = [_bare(each) for each in choices]
    return [each for each in bare if isinstance(each, type) and issubclass(each, BaseModel)]


def section_name(section: type[BaseModel]) -> str:
    """What tells a section from the others that a field may hold: its `choice` or its `name`."""
    if choice := getattr(section, "choice", ""):
        return str(choice)
    name: str = get_args(section.model_fields["name"].annotation)[0]
    return name


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation

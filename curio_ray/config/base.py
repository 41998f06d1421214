"""The strict pydantic base of every config section."""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a run's config: unknown fields are errors and values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


def section_class(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, also where it may be left empty, or None.

    None as well where there is a choice of sections.
    """
    sections = section_classes(annotation)
    return sections[0] if len(sections) == 1 else None


def section_classes(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field may hold: none, one, or several that are told apart by `name`."""
    choices = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    return [each for each in choices if isinstance(each, type) and issubclass(each, BaseModel)]


def section_name(section: type[BaseModel]) -> str:
    """What the field `name` of a section says, where it is one of several to choose from."""
    name: str = get_args(section.model_fields["name"].annotation)[0]
    return name

"""The base of every component's options."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ComponentConfig(BaseModel):
    """Options of one component: validated strictly, frozen, without unknown keys.

    Every field has a ``Field(description=...)`` that states unit and range; the reference pages,
    ``bertmod show`` and the JSON Schema are made from it. Nested models derive from this class
    too. Aliases, computed fields, sets and validators that change values are not allowed:
    resolving a recipe twice gives the same recipe.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

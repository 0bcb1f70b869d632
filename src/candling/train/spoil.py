"""Ways to spoil good images for training."""
from __future__ import annotations
from typing import Literal
from pydantic import BaseModel, ConfigDict, Field
SpoilKind = Literal["perlin", "texture", "cutpaste", "scratch", "spot", "fill"]
class SpoilOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    probability: float = Field(default=0.0, ge=0, le=1)
    kinds: tuple[SpoilKind, ...] = Field(default=("perlin",), min_length=1, strict=False)

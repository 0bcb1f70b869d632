"""What goes to the line: a folder with graph, recipe, limits, card and a manifest that holds the hash of each."""

from candling.runtime.bundle.change import replace_limits
from candling.runtime.bundle.folder import Bundle, load_bundle, save_bundle
from candling.runtime.bundle.shapes import (
    FORMAT,
    Card,
    DataFacts,
    LimitChange,
    LimitEntry,
    LimitsFile,
    Manifest,
    ManifestFile,
    MapRange,
    Range,
)

__all__ = [
    "FORMAT",
    "Bundle",
    "Card",
    "DataFacts",
    "LimitChange",
    "LimitEntry",
    "LimitsFile",
    "Manifest",
    "ManifestFile",
    "MapRange",
    "Range",
    "load_bundle",
    "replace_limits",
    "save_bundle",
]

"""Samples: what lies on disk, as a list of labelled images, and how it is split; names only."""

from candling.data.samples.acquisition import Acquisition, group_acquisitions, inspected_frames
from candling.data.samples.load import load_samples
from candling.data.samples.sample import GOOD, Place, Sample, SampleSet, natural_key, product_of
from candling.data.samples.split import (
    RESERVED,
    TESTED,
    content_hash,
    split_hold_out,
    split_test,
    test_samples,
    training_samples,
)
from candling.data.samples.table import table_of

__all__ = [
    "GOOD",
    "RESERVED",
    "TESTED",
    "Acquisition",
    "Place",
    "Sample",
    "SampleSet",
    "content_hash",
    "group_acquisitions",
    "inspected_frames",
    "load_samples",
    "natural_key",
    "product_of",
    "split_hold_out",
    "split_test",
    "table_of",
    "test_samples",
    "training_samples",
]

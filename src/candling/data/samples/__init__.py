"""Samples: what lies on disk, as a list of labelled images, and how it is split; names only."""

from candling.data.samples.load import load_samples
from candling.data.samples.sample import GOOD, Sample, SampleSet, natural_key, product_of
from candling.data.samples.split import content_hash, split_hold_out, test_samples, training_samples

__all__ = [
    "GOOD",
    "Sample",
    "SampleSet",
    "content_hash",
    "load_samples",
    "natural_key",
    "product_of",
    "split_hold_out",
    "test_samples",
    "training_samples",
]

"""Calibrate, evaluate, report, benchmark: what is done with a trained bundle."""

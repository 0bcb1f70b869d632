"""What ``candling calibrate`` does: new limits from pictures or by hand, logged with reason and name."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from candling.cli.output import bar
from candling.data.samples import load_samples
from candling.errors import UsageError
from candling.runtime.bundle import Bundle, load_bundle, replace_limits
from candling.runtime.learned import without_learned
from candling.runtime.predictor import Predictor
from candling.types import WHOLE
from candling.workflow.calibrate import calibrate, calibration_samples, set_by_hand

if TYPE_CHECKING:
    from pathlib import Path

    from candling.runtime.bundle import LimitsFile

__all__ = ["choose_limits"]


def choose_limits(
    path: Path,
    data: Path | None,
    *,
    goal: str | None,
    value: float | None,
    confidence: float | None,
    grey: float | None,
    level: str | None,
    by_hand: str | None,
    reason: str,
    by: str,
    engine: str,
    precision: str | None,
    quiet: bool,
) -> Bundle:
    """Choose limits and put them into the bundle.

    Raises:
        UsageError: neither pictures nor a limit by hand, both, or a limit by hand without a reason.
        DataError: as :func:`candling.workflow.calibrate.calibrate`.
    """
    if (data is None) == (by_hand is None):
        raise UsageError("calibrate needs either DATA, pictures to choose from, or --set SCORE=LIMIT")
    if by_hand is not None and not reason.strip():
        raise UsageError("a limit set by hand needs --reason; it is logged")
    bundle = load_bundle(path)
    if by_hand is not None:
        limits = _set(bundle, by_hand)
    else:
        assert data is not None
        samples = load_samples(data)
        chosen, _ = without_learned(calibration_samples(samples, bundle.recipe, goal=goal), bundle, held_out=False)
        with bar("scoring", quiet=quiet) as progress:
            predictor = Predictor.load(bundle, engine=engine, precision=precision)  # type: ignore[arg-type]
            limits = calibrate(
                predictor,
                chosen,
                goal=goal,
                value=value,
                confidence=confidence,
                grey=grey,
                level=level,  # type: ignore[arg-type]
                progress=progress,
            )
        found = limits.entries[0]
        counted = "" if found.level == "patch" else f" of {found.level}s"
        reason = reason.strip() or f"calibrated on {samples.root.name} for {found.goal}{counted}"
    return replace_limits(bundle, limits, reason=reason, by=by.strip() or _user())


def _set(bundle: Bundle, words: str) -> LimitsFile:
    name, _, number = words.partition("=")
    region, _, score = name.rpartition(".")
    try:
        high = float(number)
    except ValueError:
        raise UsageError(f"--set {words}: give SCORE=LIMIT or REGION.SCORE=LIMIT with a number") from None
    return set_by_hand(bundle.limits, region=region or WHOLE, score=score, high=high, at=datetime.now(UTC))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user on this machine
        return "unknown user"

"""Hold what was read against the images: sizes, names, classes, edges; everything dropped or cut is named, no format.

One bad object never costs its image, one bad image never the set.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from candling.data.annotations.annotation import (
    AnnotatedImage,
    Annotation,
    AnnotationSet,
    Problem,
    Trouble,
    hull,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from candling.data.annotations.parsing import Found
    from candling.data.annotations.pictures import Picture, Pictures

__all__ = ["settle"]

SLACK_PX: Final = 0.001
"""What a box may reach beyond its image unsaid: rounding of formats that store shares."""


def settle(found: Found, *, pictures: Pictures | None, classes: Sequence[str] | None) -> AnnotationSet:
    """Keep what can be used and name the rest.

    Args:
        found: what a reader gave.
        pictures: the images; None when nobody said where they are, then names and sizes are believed.
        classes: the only classes wanted; None takes all.

    Returns:
        Images in the order of the files, each name once; problems in the order they were met.
    """
    problems = [*found.problems, *(pictures.problems if pictures is not None else ())]
    times = Counter(image.image for image in found.images)
    kept: list[AnnotatedImage] = []
    for image in found.images:
        if times[image.image] > 1:
            continue
        named = _named(image, pictures, problems)
        if named is not None:
            kept.append(_sound(named, classes, problems))
    problems += [
        Problem(Trouble.SAME_NAME, f"{name}: annotated {count} times; keep one of them; none is used")
        for name, count in times.items()
        if count > 1
    ]
    kept = _once(kept, problems)
    if pictures is not None:
        mentioned = {image.image for image in kept} | {name for name, count in times.items() if count > 1}
        mentioned |= {p.path.name for p in map(pictures.find, times) if p is not None}
        problems += [
            Problem(
                Trouble.NO_ANNOTATION,
                f"{picture.path}: has no annotation, which is not the same as no object; it is left out",
            )
            for name, picture in pictures.by_name.items()
            if name not in mentioned
        ]
    return AnnotationSet(tuple(kept), tuple(problems))


def _once(images: Sequence[AnnotatedImage], problems: list[Problem]) -> list[AnnotatedImage]:
    """Leave out images that two different names led to, such as ``a`` and ``a.png``."""
    times = Counter(image.image for image in images)
    problems += [
        Problem(Trouble.SAME_NAME, f"{name}: annotated {count} times; keep one of them; none is used")
        for name, count in times.items()
        if count > 1
    ]
    return [image for image in images if times[image.image] == 1]


def _named(image: AnnotatedImage, pictures: Pictures | None, problems: list[Problem]) -> AnnotatedImage | None:
    """Find the image's file and take its size."""
    if pictures is None:
        return image
    picture = pictures.find(image.image)
    if picture is None:
        if image.image not in pictures.twice:  # that was said already
            problems.append(Problem(Trouble.NO_IMAGE, f"{image.image}: annotated, but no such image; it is left out"))
        return None
    if _differs(image, picture):
        problems.append(
            Problem(
                Trouble.OTHER_SIZE,
                f"{image.image}: annotated at {image.width} x {image.height} px, but the image has {picture.width} x "
                f"{picture.height}; it is left out, annotate this size",
            )
        )
        return None
    return replace(image, image=picture.path.name, width=picture.width, height=picture.height)


def _differs(image: AnnotatedImage, picture: Picture) -> bool:
    said = image.width, image.height
    return None not in said and said != (picture.width, picture.height)


def _sound(image: AnnotatedImage, classes: Sequence[str] | None, problems: list[Problem]) -> AnnotatedImage:
    """Drop the objects that cannot be used, and cut those that reach outside."""
    objects = []
    for number, given in enumerate(image.objects, start=1):
        where = f"{image.image}, object {number} ({given.label})"
        if classes is not None and given.label not in classes:
            near = difflib.get_close_matches(given.label, classes, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            problems.append(
                Problem(
                    Trouble.UNKNOWN_CLASS, f"{where}: unknown class; {hint}known are: {', '.join(classes)}; left out"
                )
            )
            continue
        one = _boxed(given)
        if one is None or one.area <= 0.0:
            problems.append(Problem(Trouble.NO_AREA, f"{where}: no area ({_edges(given)}); dropped"))
            continue
        if image.width is not None and image.height is not None:
            inside = one.clipped(image.width, image.height)
            reach = max(abs(a - b) for a, b in zip(_numbers(one), _numbers(inside), strict=True))
            if reach > SLACK_PX:
                done = "cut at the edge" if inside.area > 0.0 else "dropped, as nothing of it is inside"
                problems.append(
                    Problem(
                        Trouble.OUTSIDE,
                        f"{where}: reaches {reach:g} px outside the image of {image.width} x {image.height} px "
                        f"({_edges(one)}); {done}",
                    )
                )
            if inside.area <= 0.0:
                continue
            one = inside
        objects.append(one)
    return replace(image, objects=tuple(objects))


def _boxed(one: Annotation) -> Annotation | None:
    """Let the box be the outline's, where there is one; None for an outline of fewer than three corners."""
    if not one.polygon:
        return one
    if len(one.polygon) < 3:
        return None
    left, top, right, bottom = hull(one.polygon)
    return replace(one, left=left, top=top, right=right, bottom=bottom)


def _numbers(one: Annotation) -> tuple[float, float, float, float]:
    return one.left, one.top, one.right, one.bottom


def _edges(one: Annotation) -> str:
    return f"columns {one.left:g} to {one.right:g}, rows {one.top:g} to {one.bottom:g}"

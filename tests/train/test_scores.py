"""The facts of scores.py: each score on images where it can be worked out by hand, and the normalisation of the map."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from candling.errors import RecipeError, TrainingError
from candling.train.losses import ssim, ssim_map
from candling.train.scores import ScoreName, ScoreOptions, Scorer

SHAPE = (1, 64, 80)
ALL = get_args(ScoreName)


def scorer(shape=SHAPE, **options) -> Scorer:
    return Scorer(shape, ScoreOptions.model_validate({"names": ALL, **options}))


def grey(value: float = 0.5, count: int = 2, shape=SHAPE) -> torch.Tensor:
    return torch.full((count, *shape), value)


def with_square(side: int, contrast: float) -> torch.Tensor:
    """Two images: a grey one, and one with a square of ``side`` px at row 20, column 30."""
    image = grey()
    image[1, :, 20 : 20 + side, 30 : 30 + side] += contrast
    return image


def pairs(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Good images whose error is ten times larger in the right half."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand((count, *SHAPE), generator=generator) * 0.5
    error = 0.01 * torch.randn(image.shape, generator=generator)
    error[..., 40:] *= 10
    return image, image + error


def test_equal_images_score_zero():
    """Where image and reconstruction are equal, map and all scores are 0."""
    image, _ = pairs(2)
    for name, output in scorer()(image, image.clone()).items():
        assert output.abs().max() < 1e-6, name


def test_scores_of_a_square_are_worked_out_by_hand():
    """A 10 x 10 square of contrast 0.4 has squared error 0.16 on 100 of 5120 pixels."""
    out = scorer(top=200 / 5120, window_px=20)(with_square(10, 0.4), grey())
    assert out["mean_squared_error"].tolist() == pytest.approx([0, 0.16 * 100 / 5120], rel=1e-5)
    assert out["top_error"].tolist() == pytest.approx([0, 0.08], rel=1e-5)
    assert out["window_error"].tolist() == pytest.approx([0, 0.16 * 100 / 400], rel=1e-5)
    assert out["map_peak"].tolist() == pytest.approx([0, 0.16], rel=1e-5)
    assert out["anomaly_map"].shape == (2, 64, 80)
    assert out["anomaly_map"][1, 20:30, 30:40].min().item() == pytest.approx(0.16, rel=1e-5)
    assert (out["anomaly_map"][1] > 0).sum() == 100


def test_the_dissimilarity_scores_are_ssim():
    """Dissimilarity is 1 - SSIM; the one of the window is the largest mean of 1 - SSIM over a window inside."""
    image, reconstruction = with_square(10, 0.4), grey()
    out = scorer(window_px=7)(image, reconstruction)
    torch.testing.assert_close(out["dissimilarity"], 1 - ssim(image, reconstruction))
    local = torch.nn.functional.avg_pool2d(1 - ssim_map(image, reconstruction), 7, stride=1)
    torch.testing.assert_close(out["window_dissimilarity"], local.amax(dim=(1, 2, 3)), atol=1e-6, rtol=1e-5)


def test_colour_errors_are_averaged_over_channels():
    """An error in one of three channels counts a third."""
    image = grey(shape=(3, 64, 64))
    reconstruction = image.clone()
    reconstruction[:, 0] += 0.3
    out = scorer(shape=(3, 64, 64))(image, reconstruction)
    assert out["mean_squared_error"].tolist() == pytest.approx([0.03, 0.03], rel=1e-5)
    assert out["anomaly_map"].mean().item() == pytest.approx(0.03, rel=1e-5)


@pytest.mark.parametrize("kind", ["squared_error", "dissimilarity", "mixed"])
def test_every_kind_of_map_points_at_the_square(kind):
    """Whatever the map is made of and however smoothed, its maximum lies in the square, far above the rest."""
    out = scorer(map=kind, smooth_px=1.5)(with_square(10, 0.4), grey())
    place = divmod(out["anomaly_map"][1].argmax().item(), 80)
    assert 18 <= place[0] <= 31
    assert 28 <= place[1] <= 41
    assert out["map_peak"][1] > 10 * out["anomaly_map"][1, 50:].max()
    assert out["map_peak"][1] == out["anomaly_map"][1].max()


def test_a_dissimilarity_map_has_the_size_of_the_image():
    """The 5 px that SSIM has no value for repeat the nearest one; inside, the map is 1 - SSIM."""
    image, reconstruction = pairs(2)
    out = scorer(map="dissimilarity")(image, reconstruction)["anomaly_map"]
    inside = 1 - ssim_map(image, reconstruction)[:, 0]
    torch.testing.assert_close(out[:, 5:-5, 5:-5], inside)
    torch.testing.assert_close(out[:, 0, 5:-5], inside[:, 0])


def test_a_mixed_map_adds_two_parts_of_one_scale():
    """The mixed map is the mean of |error| and (1 - SSIM) / 2, so it stays in [0, 1]."""
    out = scorer(map="mixed")(grey(1.0), grey(0.0))
    assert out["anomaly_map"].max() <= 1.0
    assert out["anomaly_map"].min() > 0.7


def test_the_absolute_map_is_the_mean_of_absolute_errors():
    """In colour, errors of 0.3, 0 and 0 show as 0.1, and no window bounds the size of the picture."""
    image, reconstruction = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.5)
    image[:, 0] += 0.3
    absolute = scorer((3, 8, 8), map="absolute_error", names=["map_mean"])
    torch.testing.assert_close(absolute(image, reconstruction)["anomaly_map"], torch.full((1, 8, 8), 0.1))


def test_the_normalised_map_counts_in_usual_spreads():
    """After fitting, good images have mean 0 and spread 1 in both halves; before, the right one is a hundredfold."""
    fitted = scorer(map="squared_error", normalise=True, spread_smooth_px=0.0, spread_floor=1e-3)
    image, reconstruction = pairs(400)
    fitted.fit(zip(image.split(100), reconstruction.split(100), strict=True))
    normal = fitted(image, reconstruction)["anomaly_map"]
    torch.testing.assert_close(normal.mean(dim=0), torch.zeros(SHAPE[1:]), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.std(dim=0), torch.ones(SHAPE[1:]), atol=1e-3, rtol=0)
    # the same error is worth far more where errors are usually small
    defect = image[:1].clone()
    defect[..., 32, 10] += 0.2
    defect[..., 32, 70] += 0.2
    marked = fitted(defect, image[:1])["anomaly_map"][0, 32]
    assert marked[10] > 20 * marked[70] > 0


def test_fitting_does_not_depend_on_the_batches():
    """The same images in other batches give the same constants."""
    image, reconstruction = pairs(30)
    first, second = scorer(normalise=True), scorer(normalise=True)
    first.fit([(image, reconstruction)])
    second.fit(zip(image.split(7), reconstruction.split(7), strict=True))
    torch.testing.assert_close(first.centre, second.centre)
    torch.testing.assert_close(first.sharpness, second.sharpness)


def test_a_floor_keeps_flawless_places_calm():
    """Where good images never err the spread is the floor's, and the map stays finite; a perfect set as well."""
    image = torch.rand(5, *SHAPE)
    reconstruction = image.clone()
    reconstruction[..., 40:] += 0.1 * torch.rand(5, 1, 64, 40)
    fitted = scorer(normalise=True, spread_smooth_px=0.0, spread_floor=0.5)
    fitted.fit([(image, reconstruction)])
    spread = fitted.sharpness.reciprocal()
    assert spread.min().item() == pytest.approx(0.5 * spread[:, 40:].clamp(min=0).mean().item() / 2, rel=0.4)
    perfect = scorer(normalise=True)
    perfect.fit([(image, image.clone())])
    assert torch.isfinite(perfect(image, reconstruction)["anomaly_map"]).all()


def test_normalising_by_one_image_is_refused():
    """One image has no spread."""
    with pytest.raises(TrainingError, match="at least two good images"):
        scorer(normalise=True).fit([pairs(1)])


def test_fitting_is_nothing_unless_asked_for():
    """Without ``normalise`` the images are not even looked at."""
    plain = scorer()
    plain.fit(iter([None]))
    assert torch.equal(plain.sharpness, torch.ones(SHAPE[1:]))


def test_only_named_scores_are_computed():
    """The graph holds the scores the recipe names, in its order, and the map."""
    out = scorer(names=["map_peak", "mean_squared_error"])(grey(), grey())
    assert list(out) == ["anomaly_map", "map_peak", "mean_squared_error"]


def test_too_small_images_are_refused_with_the_remedy():
    """A window larger than the image is a matter of the recipe, said when the method is built."""
    with pytest.raises(RecipeError, match=r"at least 31 x 31 px, not 16 x 64.*window_px"):
        scorer(shape=(1, 16, 64))
    small = scorer(shape=(1, 8, 8), names=["mean_squared_error"])  # whose window nobody uses
    assert small(grey(shape=(1, 8, 8)), grey(shape=(1, 8, 8)))["mean_squared_error"].tolist() == [0.0, 0.0]


def test_a_score_is_named_once():
    """A repeated name would give the graph two outputs of one name."""
    with pytest.raises(ValidationError, match="twice"):
        ScoreOptions(names=("map_peak", "map_peak"))


def test_the_outline_can_be_left_out_of_local_scores():
    """An error on ground or outline is in no local score and not in the map, one inside is; the mean takes all."""
    names = ["mean_squared_error", "top_error", "window_error", "map_top", "map_peak"]
    options = {"names": names, "top": 0.001, "window_px": 3, "ground": 0.2, "margin_px": 3}
    product = torch.zeros(3, *SHAPE)
    product[:, :, 16:48, 20:60] = 0.6
    redrawn = product.clone()
    redrawn[0, :, 16:18, 20:60] += 0.3  # the outline
    redrawn[1, :, 2:6, 2:6] += 0.3  # the ground
    redrawn[2, :, 30:33, 40:43] += 0.1  # a spot
    out = scorer(**options)(product, redrawn)
    for name in names[1:]:
        assert out[name][:2].tolist() == [0.0, 0.0], name
        assert out[name][2].item() == pytest.approx(0.01, rel=1e-4), name
    assert out["anomaly_map"][:2].abs().max() == 0.0
    assert out["mean_squared_error"][0] > out["mean_squared_error"][2]
    assert scorer(names=names, top=0.001, window_px=3)(product, redrawn)["top_error"].argmin() == 2


def test_a_margin_needs_an_outline():
    """Without a ground there is no outline to keep away from: the key that is missing is named."""
    with pytest.raises(ValidationError, match="set ground"):
        ScoreOptions(margin_px=3)

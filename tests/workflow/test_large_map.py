"""The map of one large image from a bundle: the numbers of its tiles, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile

from candling.errors import ImageError, OutputExistsError, UsageError
from candling.workflow.large_map import map_large


class Mean:
    """A graph whose value is the mean over 9 x 9 pixels."""

    input_shape = (1, 96, 128)
    has_map = True

    def run(self, images):
        return SimpleNamespace(anomaly_map=np.stack([cv2.blur(one[0], (9, 9)) for one in images]))


def _predictor(*, align: str = "none", places: int = 1, strip: object = None) -> SimpleNamespace:
    prepare = SimpleNamespace(align=align, histogram="none", white=None)
    return SimpleNamespace(
        engine=Mean(), recipe=SimpleNamespace(prepare=prepare, places=("mat",) * places, strip=strip)
    )


@pytest.fixture
def image(tmp_path):
    """A file of 200 x 300 px."""
    path = tmp_path / "scan.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8))
    return path


def test_every_pixel_has_the_value_of_its_surroundings(image, tmp_path) -> None:
    """The map is that of the whole image at once; mean and highest are the map's."""
    told = []
    found = map_large(_predictor(), image, tmp_path / "map.tif", progress=lambda *at: told.append(at))
    frame = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    values = tifffile.imread(tmp_path / "map.tif")
    np.testing.assert_allclose(values, cv2.blur(frame, (9, 9)), atol=1e-5)
    assert (found.height, found.width, found.margin) == (200, 300, 24)
    assert found.mean == pytest.approx(float(values.mean()), rel=1e-5)
    assert found.highest == float(values.max())
    assert told[-1][0] == told[-1][1] > 1
    assert set(found.to_json()) == {"path", "height", "width", "margin", "mean", "highest", "seconds"}


@pytest.mark.parametrize("bundle", [{"align": "shift"}, {"places": 2}, {"strip": object()}])
def test_bundles_whose_patches_are_no_tiles_are_refused(bundle, image, tmp_path) -> None:
    """Alignment, several regions, strips: one sentence, and no file."""
    with pytest.raises(UsageError, match="candling inspect"):
        map_large(_predictor(**bundle), image, tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_a_map_is_not_replaced_unless_asked(image, tmp_path) -> None:
    """What lies there stays; with overwrite it is replaced."""
    (tmp_path / "map.tif").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        map_large(_predictor(), image, tmp_path / "map.tif")
    assert (tmp_path / "map.tif").read_bytes() == b"mine"
    map_large(_predictor(), image, tmp_path / "map.tif", overwrite=True)
    assert tifffile.imread(tmp_path / "map.tif").shape == (200, 300)


def test_an_image_smaller_than_the_graph_is_refused(tmp_path) -> None:
    """It says both sizes and the remedy."""
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((90, 300), np.uint8))
    with pytest.raises(ImageError, match="90 x 300 px is smaller than the graph's tile"):
        map_large(_predictor(), tmp_path / "small.png", tmp_path / "map.tif")

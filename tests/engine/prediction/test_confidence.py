"""Margins of labels against plain formulas, tile by tile, and the regions of doubt."""

import numpy as np
import pytest
import torch
import zarr

from napari_ufseg import SegmentationConfig, confidence, segment
from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.source import open_source
from napari_ufseg.engine.prediction.confidence import margin_of, uncertain_regions
from napari_ufseg.engine.prediction.labelling import box_responses, learn_intensity
from napari_ufseg.samples import nuclei

SMALL = SegmentationConfig.preset("fast", n_features=6, n_classes=5, n_convolutions=1, epochs=3)


def test_the_margin_is_that_of_the_summed_probabilities_of_labels():
    response = torch.randn(5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = (3, 7, 3, 0, 7)
    probability = torch.softmax(response, 0)
    summed = torch.stack([probability[[k for k in range(5) if labels[k] == label]].sum(0) for label in (0, 3, 7)])
    shown = torch.tensor([{0: 0, 3: 1, 7: 2}[labels[k]] for k in response.argmax(0).flatten()]).view(4, 6)
    own = summed.gather(0, shown[None])[0]
    rest = torch.stack([summed[g].masked_fill(shown == g, -1) for g in range(3)]).max(0).values
    torch.testing.assert_close(margin_of(response, labels), (own - rest).clamp(0, 1))
    assert (margin_of(response, (4,) * 5) == 1).all()


def test_tiles_give_what_the_whole_gives_also_into_an_array_on_disk(tmp_path):
    image = np.tile(nuclei()[:200, :300], (2, 2))
    model = segment(image[:120, :120], SMALL).model
    margin = confidence(model, image)
    out = zarr.create_array(tmp_path / "m.zarr", shape=image.shape, chunks=(256, 256), dtype="float32")
    confidence(model, image, out=out)
    np.testing.assert_array_equal(margin, out[...])
    source = open_source(image)
    part = source.whole
    brightness = model.range_for(learn_intensity(source, SMALL))
    for cell, response, _ in box_responses(model.network, model.config, source, brightness, 0, part):
        plain = margin_of(response, model.class_labels).numpy()  # perhaps by more threads, whose sums differ a little
        np.testing.assert_allclose(margin[cell.slices], plain, atol=1e-4)
    assert 0 <= margin.min() < margin.max() <= 1


def test_a_stack_has_the_margins_of_its_planes():
    image = nuclei()[:60, :80]
    model = segment(image, SMALL).model
    stack = np.stack([image, image])
    margin = confidence(model, stack, axes="ZYX")
    np.testing.assert_array_equal(margin[0], confidence(model, image))


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.zeros((60, 80), np.uint16), "type uint16: float32 is needed"),
        (np.zeros((60, 90), np.float32), r"shape \(60, 90\)"),
        ([np.zeros((60, 80), np.float32)] * 2, "There are 2 output arrays for 1 image"),
    ],
)
def test_an_array_that_cannot_take_the_margins_is_told(out, words):
    image = nuclei()[:60, :80]
    model = segment(image, SMALL.replace(epochs=1)).model
    with pytest.raises(ImageError, match=words):
        confidence(model, [image] if isinstance(out, list) else image, out=out)


@pytest.mark.parametrize("ndim", [2, 3])
def test_wide_doubt_comes_before_narrow_and_what_is_corrected_is_left_out(ndim):
    shape = (60, 80) if ndim == 2 else (12, 60, 80)
    margin = np.ones(shape, np.float32)
    margin[..., 10:22, 10:22] = 0.2
    margin[..., 40:47, 50:57] = 0.1
    margin[..., 30, :] = 0.6
    first, second, *_ = uncertain_regions(margin)
    assert first.centre[-2:] == pytest.approx((15.5, 15.5), abs=1.5)
    assert second.centre[-2:] == pytest.approx((43, 53), abs=1.5)
    assert first.doubt > second.doubt > 0
    assert first.n_pixels >= 100
    excluded = np.zeros(shape, bool)
    excluded[..., 5:26, 5:26] = True
    assert uncertain_regions(margin, excluded=excluded)[0].centre[-2:] == pytest.approx((43, 53), abs=1.5)
    assert uncertain_regions(np.ones(shape, np.float32)) == []

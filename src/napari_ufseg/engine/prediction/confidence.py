"""Confidence of a network in the label of each pixel, and the regions where it is least."""

import copy
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage import measure
from torch import Tensor

from napari_ufseg.engine.device import place_on, resolve_device
from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import LabellingJob, box_responses, jobs_of
from napari_ufseg.engine.prediction.tile_pool import Tile, map_tiles, tiles_of, workers

Margins = npt.NDArray[np.float32]

_BLUR = 2.0  # pixels
_SHARE = 0.03  # of the pixels are looked at
_LEAST = 0.02  # of uncertainty
_MOST_REGIONS = 200


def margin_of(response: Tensor, class_labels: Sequence[int]) -> Tensor:
    """The probability of the label that is shown minus that of the next one.

    Parameters
    ----------
    response : (K, Y, X) or (K, Z, Y, X) float tensor
    class_labels : sequence of int
        The label of every class; classes that share one add up.

    Returns
    -------
    (Y, X) or (Z, Y, X) float tensor
        In [0, 1]; larger is surer. 1 if there is one label only. The softmax of
        a normalised response is no calibrated probability: margins of one image
        can be compared with each other, not with frequencies of errors.
    """
    groups = torch.from_numpy(np.unique(class_labels, return_inverse=True)[1].astype(np.int64)).to(response.device)
    n_groups = int(groups.max()) + 1
    if n_groups == 1:
        return torch.ones_like(response[0])
    probability = torch.softmax(response, 0)
    summed = response.new_zeros((n_groups, *response.shape[1:])).index_add_(0, groups, probability)
    shown = summed.gather(0, groups[response.max(0).indices][None])[0]
    others = summed.scatter(0, groups[response.max(0).indices][None], -1.0)
    return (shown - others.max(0).values).clamp(0, 1)


def margin_images(
    model: SegmentationModel,
    jobs: Sequence[LabellingJob],
    device: torch.device,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[float, None, None]:
    """Write the margin of every pixel into ``job.out`` (float32), tile by tile, each the same bit for bit as of the whole.

    Yields
    ------
    float
        Share of the pixels that are done.
    """
    network = place_on(copy.deepcopy(model.network), device).eval()
    tasks = tiles_of([job.source for job in jobs])
    total, done = sum(task.box.size for task in tasks), 0

    def margins(task: Tile) -> int:
        job = jobs[task.number]
        out = np.ones(task.box.shape, np.float32)
        if not job.brightness.is_constant:
            parts = box_responses(network, model.config, job.source, job.brightness, task.item, task.box)
            for cell, response, _ in parts:
                out[cell.within(task.box).slices] = margin_of(response, model.class_labels).cpu().numpy()
        job.source.write(job.out, task.item, task.box, out)
        return out.size

    for size in map_tiles(margins, tasks, workers(device), stopped):
        done += size
        yield done / total


def confidence(
    model: SegmentationModel,
    image: Any,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    device: str = "auto",
    out: Any = None,
) -> Any:
    """How sure a model is of its label of every pixel of an image.

    Parameters
    ----------
    model : SegmentationModel
        From `segment` or `load_model`.
    image, axes, channel_axis, device
        As in `predict`.
    out : array-like of float32, or list of them, optional
        Takes the result, for example a zarr array.

    Returns
    -------
    array of float32 with the shape of the labels, or a list of them for a list
        The margin between the two most probable labels, in [0, 1]; larger is
        surer. It is not calibrated (see `margin_of`).

    Raises
    ------
    ImageError, DeviceError, MemoryShortageError
        As `predict`.

    Examples
    --------
    >>> from skimage import data
    >>> from napari_ufseg import SegmentationConfig, confidence, segment
    >>> image = data.coins()[:64, :64]
    >>> margin = confidence(segment(image, SegmentationConfig.preset("fast", epochs=5)).model, image)
    >>> margin.shape, bool((margin >= 0).all() and (margin <= 1).all())
    ((64, 64), True)
    """
    place = resolve_device(device)
    jobs, gives = jobs_of(model, image, np.dtype(np.float32), axes=axes, channel_axis=channel_axis, out=out)
    with engine_errors("Measuring the confidence"):
        for _ in margin_images(model, jobs, place):
            pass
    return gives


@dataclass(frozen=True)
class UncertainRegion:
    """A connected region of low confidence, to look at.

    Parameters
    ----------
    centre : tuple of float
        (Y, X) or (Z, Y, X), in pixels.
    start, stop : tuple of int
        Its bounding box.
    n_pixels : int
    doubt : float
        Sum of 1 - margin over its pixels; larger matters more.
    """

    centre: tuple[float, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]
    n_pixels: int
    doubt: float


def uncertain_regions(margin: Margins, min_size: int = 20, excluded: Any = None) -> list[UncertainRegion]:
    """Connected regions where the network is least sure, those that matter most first.

    Looked at are the 3 % of the pixels with the largest doubt, 1 - margin,
    after it has been smoothed, so that wide doubtful areas come before the
    thin seams between classes.

    Parameters
    ----------
    margin : (Y, X) or (Z, Y, X) float array
        Of one plane or volume.
    min_size : int
        Fewest pixels of a region; larger skips more.
    excluded : bool array of the shape of `margin`, optional
        Pixels of which there is no doubt, such as corrected ones.
    """
    doubt = 1 - np.asarray(margin, np.float32)
    if excluded is not None:
        doubt[np.asarray(excluded, bool)] = 0
    smooth = ndimage.gaussian_filter(doubt, _BLUR)
    parts = measure.label(smooth >= max(_LEAST, float(np.quantile(smooth, 1 - _SHARE))))  # type: ignore[no-untyped-call]
    found = []
    for region in measure.regionprops(parts, intensity_image=doubt):  # type: ignore[no-untyped-call]
        if region.area >= min_size:
            n = margin.ndim
            box = tuple(map(int, region.bbox))
            total = float(region.intensity_mean * region.area)
            centre = tuple(map(float, region.centroid))
            found.append(UncertainRegion(centre, box[:n], box[n:], int(region.area), total))
    return sorted(found, key=lambda region: -region.doubt)[:_MOST_REGIONS]

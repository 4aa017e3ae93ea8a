"""What a script calls: one function to segment, one to watch, one to predict."""

from collections.abc import Generator
from typing import Any

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import engine_errors
from napari_ufseg.engine.images.source import as_list
from napari_ufseg.engine.labels.corrections import find_corrections
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import predict
from napari_ufseg.engine.training.results import Segmentation, Snapshot, run_to_end
from napari_ufseg.engine.training.session import TrainingSession
from napari_ufseg.engine.training.warm_start import WarmStart

__all__ = ["iter_segment", "predict", "segment", "train_on"]


def segment(
    image: Any,
    config: SegmentationConfig | None = None,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    nodata: float | str = "auto",
    intensity_range: tuple[float, float] | None = None,
    scribbles: Any = None,
    device: str = "auto",
    memory_budget: int | None = None,
    out: Any = None,
) -> Segmentation:
    """Sort the pixels of an image into classes, without any training labels.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array, or any other with `axes` or `channel_axis`; or a list of such
        bool, integers or floats, in memory or lazy (dask, zarr, memory map). All
        planes of a stack, and all images of a list, are trained jointly, with
        one set of classes; sizes may differ, the channels must agree.
    config : SegmentationConfig, optional
        Default: ``SegmentationConfig.preset("fast")``.
    axes : str, optional
        What each axis is, one letter for each: T time, Z depth, C channel,
        Y row, X column, Q other; for example ``"TZCYX"``. Needed where it is not clear.
    channel_axis : int, optional
        Which axis holds the channels.
    nodata : float or {"auto", "none"}
        The value of pixels that hold no data: they get the label 0 and count for nothing. ``"auto"`` finds areas
        of fill values and padding, ``"none"`` finds none. NaN and what is masked hold no data in any case. (With
        ``scaling="robust"``, as in the preset ``fast``.)
    intensity_range : (float, float), optional
        The dark and the bright end of every channel; what lies beyond is clipped. Default: as `scaling` says.
    scribbles : integer array of the image's shape without channels, or a list of them (or None), optional
        0 for none; s trains the class that is shown as label s.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    memory_budget : int, optional
        Bytes of memory that the process may take; images that need more are
        trained on random tiles. Default: half of the memory that is free, and
        2 GB where tiles are needed.
    out : array-like of uint16, or a list of them, optional
        Takes the labels; pass a zarr array if they fit no memory.

    Returns
    -------
    Segmentation
        With ``labels`` (uint16, 1 to K, the axes of the image without channels; or a
        list), ``model``, ``history`` and ``stop_reason``.

    Raises
    ------
    UfsegError
        A kind of it, with one sentence: ImageError, ConfigError, DeviceError,
        MemoryShortageError or TrainingError.

    References
    ----------
    .. [1] Kim, Kanezaki and Tanaka (2020), https://doi.org/10.1109/TIP.2020.3011269

    Examples
    --------
    >>> from skimage import data
    >>> from napari_ufseg import SegmentationConfig, segment
    >>> result = segment(data.coins()[:64, :64], SegmentationConfig.preset("fast", epochs=5))
    >>> result.labels.shape, str(result.labels.dtype)
    ((64, 64), 'uint16')
    """
    run = iter_segment(
        image,
        config,
        axes=axes,
        channel_axis=channel_axis,
        nodata=nodata,
        intensity_range=intensity_range,
        scribbles=scribbles,
        device=device,
        memory_budget=memory_budget,
        out=out,
        every=float("inf"),
    )
    return run_to_end(run)


def train_on(
    image: Any,
    model: SegmentationModel,
    label_image: Any = None,
    *,
    config: SegmentationConfig | None = None,
    corrected: Any = None,
    axes: str | None = None,
    channel_axis: int | None = None,
    nodata: float | str = "auto",
    intensity_range: tuple[float, float] | None = None,
    device: str = "auto",
    memory_budget: int | None = None,
    out: Any = None,
) -> Segmentation:
    """Let a training go on from a model, and from what somebody has corrected in its labels.

    Labels that were merged, or filled with another, become one class. Pixels
    that no merge explains count as painted: they weigh more in the loss, and
    keep their label. All others are meant to stay as they are. A label that
    the model does not know becomes a new class, and so does 0 (background).

    Parameters
    ----------
    image : array, or list of arrays
        What the model was trained on, as in `segment`.
    model : SegmentationModel
        ``segmentation.model``.
    label_image : array of integers, or list of them, optional
        Its labels, corrected. Without it the training goes on as it was.
    config : SegmentationConfig, optional
        Other options of training, loss and stopping; those of network and
        input must be the model's. Default: the config of the model.
    corrected : bool array, or list of them, optional
        Pixels that were corrected before an earlier call, and stay so.
    axes, channel_axis, nodata, intensity_range, device, memory_budget, out
        As in `segment`.

    Returns
    -------
    Segmentation
        Its labels are those of its model, but for painted pixels.

    Raises
    ------
    UfsegError
        As in `segment`.

    Examples
    --------
    >>> from skimage import data
    >>> from napari_ufseg import SegmentationConfig, segment, train_on
    >>> image = data.coins()[:64, :64]
    >>> result = segment(image, SegmentationConfig.preset("fast", epochs=5))
    >>> labels = result.labels.copy()
    >>> labels[labels == 2] = 1
    >>> labels[:3, :10] = 30
    >>> again = train_on(image, result.model, labels)
    >>> bool((again.labels[:3, :10] == 30).all()), 2 in again.labels
    (True, False)
    """
    corrections = None
    if label_image is not None:
        now, single = as_list(label_image)
        light: dict[str, Any] = {"nodata": nodata, "intensity_range": intensity_range}
        predicted = predict(model, image, axes=axes, channel_axis=channel_axis, device=device, **light)
        earlier = None if corrected is None else as_list(corrected)[0]
        made = [predicted] if single else predicted
        with engine_errors("Reading the corrections"):
            corrections = find_corrections(made, now, model.class_labels, earlier=earlier)
    session = TrainingSession(
        image,
        config,
        axes=axes,
        channel_axis=channel_axis,
        nodata=nodata,
        intensity_range=intensity_range,
        device=device,
        memory_budget=memory_budget,
        out=out,
        warm_start=WarmStart(model, corrections),
    )
    return run_to_end(session.run(float("inf")))


def iter_segment(
    image: Any,
    config: SegmentationConfig | None = None,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
    nodata: float | str = "auto",
    intensity_range: tuple[float, float] | None = None,
    scribbles: Any = None,
    device: str = "auto",
    memory_budget: int | None = None,
    out: Any = None,
    every: float = 0.1,
) -> Generator[Snapshot, None, Segmentation]:
    """As `segment`, but yields a `Snapshot` at most every `every` seconds and returns the Segmentation.

    The last snapshot shows the labels of the result. Parameters and errors
    are those of `segment`; bad input raises here, before the first snapshot.
    """
    session = TrainingSession(
        image,
        config,
        axes=axes,
        channel_axis=channel_axis,
        nodata=nodata,
        intensity_range=intensity_range,
        scribbles=scribbles,
        device=device,
        memory_budget=memory_budget,
        out=out,
    )
    return session.run(every)

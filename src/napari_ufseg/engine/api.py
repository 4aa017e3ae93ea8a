"""What a script calls: one function to segment, one to watch, one to predict."""

from collections.abc import Generator
from typing import Any

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.labelling import predict
from napari_ufseg.engine.results import Segmentation, Snapshot
from napari_ufseg.engine.session import TrainingSession

__all__ = ["iter_segment", "predict", "segment"]


def segment(
    image: Any,
    config: SegmentationConfig | None = None,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
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
        scribbles=scribbles,
        device=device,
        memory_budget=memory_budget,
        out=out,
        every=float("inf"),
    )
    while True:
        try:
            next(run)
        except StopIteration as end:
            segmentation: Segmentation = end.value
            return segmentation


def iter_segment(
    image: Any,
    config: SegmentationConfig | None = None,
    *,
    axes: str | None = None,
    channel_axis: int | None = None,
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
        scribbles=scribbles,
        device=device,
        memory_budget=memory_budget,
        out=out,
    )
    return session.run(every)

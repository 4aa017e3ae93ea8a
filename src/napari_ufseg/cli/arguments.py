"""What each command of ``ufseg`` is asked to do, as checked values: the parser makes them, the commands take them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_ufseg.engine.errors import UfsegError

Existing = Literal["overwrite", "skip", "fail"]


class UsageError(UfsegError):
    """The command line cannot be understood."""


@dataclass(frozen=True)
class Messages:
    """What a command says.

    Parameters
    ----------
    quiet : bool
        Warnings and errors only.
    debug : bool
        Show the traceback of an error, and what libraries say.
    """

    quiet: bool = False
    debug: bool = False


@dataclass(frozen=True)
class ImageOpening:
    """How image files are opened.

    Parameters
    ----------
    axes : str, optional
        What each axis is, one letter for each; by default as the file says.
    channel_axis : int, optional
        Which axis holds the channels.
    n_channels : int, optional
        Channels to work with: grey is made from colour, or colour from grey; by default those of the file.
    level : int
        Resolution level of a pyramid; 0 is the full one.
    series : str, optional
        Number or name of an image among several in a file; by default the largest.
    nodata : float or {"auto", "none"}
        As in `napari_ufseg.segment`.
    intensity_range : (float, float), optional
        As in `napari_ufseg.segment`.
    is_believed : bool
        Images are opened whatever size they claim.
    """

    axes: str | None = None
    channel_axis: int | None = None
    n_channels: int | None = None
    level: int = 0
    series: str | None = None
    nodata: float | str = "auto"
    intensity_range: tuple[float, float] | None = None
    is_believed: bool = False


@dataclass(frozen=True)
class LabelsOutput:
    """Where labels go.

    Parameters
    ----------
    path : Path
        A label file, or a folder of them.
    says_folder : bool
        Whether the name ends in a slash, so that it is a folder even if there is none yet.
    """

    path: Path
    says_folder: bool = False


@dataclass(frozen=True)
class SegmentArguments:
    """``ufseg segment``.

    Parameters
    ----------
    inputs : tuple of Path
        Images and folders of images; at least one.
    output : LabelsOutput, optional
        Where the labels go; None only with `show`.
    preset : str
        The settings to begin with, unless `train_on` gives them.
    options : mapping of str to Any
        The options of SegmentationConfig that were given, each with a value that it allows.
    opening : ImageOpening
    device : str
        As in `napari_ufseg.segment`.
    memory_budget : int, optional
        Bytes that the run may take.
    scribbles : tuple of Path or None, optional
        One file per image, None for an image without.
    train_on : Path, optional
        A saved model whose training goes on.
    corrected : tuple of Path or None, optional
        One file of corrected labels per image, None for an image without.
    model_path, report, pie : Path, optional
        Further files to write.
    force : int, optional
        Merge classes until so many are left.
    detail : int or str
        How many classes the labels show, as in `napari_ufseg.predict`; the model keeps all that `force` leaves.
    show : bool
        Run in a window of napari.
    existing : {"overwrite", "skip", "fail"}
        What becomes of labels that are there already.
    messages : Messages
    """

    inputs: tuple[Path, ...]
    output: LabelsOutput | None
    preset: str
    options: Mapping[str, Any]
    opening: ImageOpening = ImageOpening()
    device: str = "auto"
    memory_budget: int | None = None
    scribbles: tuple[Path | None, ...] | None = None
    train_on: Path | None = None
    corrected: tuple[Path | None, ...] | None = None
    model_path: Path | None = None
    report: Path | None = None
    pie: Path | None = None
    force: int | None = None
    detail: int | str = "auto"
    show: bool = False
    existing: Existing = "overwrite"
    messages: Messages = Messages()


@dataclass(frozen=True)
class PredictArguments:
    """``ufseg predict``.

    Parameters
    ----------
    model : Path
        A saved model.
    inputs : tuple of Path
        Images and folders of images; at least one.
    output : LabelsOutput
        Where the labels go.
    opening : ImageOpening
    device : str
        As in `napari_ufseg.predict`.
    scheduler : str, optional
        Address of a scheduler of dask whose workers do the work.
    detail : int or str
        As in `napari_ufseg.predict`.
    intensity : {"auto", "trained", "own"}
        As in `napari_ufseg.predict`.
    existing : {"overwrite", "skip", "fail"}
        What becomes of labels that are there already.
    messages : Messages
    """

    model: Path
    inputs: tuple[Path, ...]
    output: LabelsOutput
    opening: ImageOpening = ImageOpening()
    device: str = "auto"
    scheduler: str | None = None
    detail: int | str = "auto"
    intensity: str = "auto"
    existing: Existing = "overwrite"
    messages: Messages = Messages()


@dataclass(frozen=True)
class BatchArguments:
    """``ufseg batch``.

    Parameters
    ----------
    model : Path
        A saved model.
    folder, output : Path
        Where the images are, and where the labels go.
    recursive : bool
        Take the images in the folders of `folder` too.
    existing : {"skip", "overwrite"}
        What becomes of images that have labels already.
    format : str
        Of the labels.
    opening : ImageOpening
        Its channels are those of the file.
    detail : int or str
        As in `napari_ufseg.predict`.
    intensity : {"auto", "trained", "own"}
        As in `napari_ufseg.predict`.
    device : str
        As in `napari_ufseg.predict`.
    report : Path, optional
        A CSV or JSON of what became of each image.
    messages : Messages
    """

    model: Path
    folder: Path
    output: Path
    recursive: bool = True
    existing: Literal["skip", "overwrite"] = "skip"
    format: str = "tif"
    opening: ImageOpening = ImageOpening()
    detail: int | str = "auto"
    intensity: str = "auto"
    device: str = "auto"
    report: Path | None = None
    messages: Messages = Messages()


@dataclass(frozen=True)
class InfoArguments:
    """``ufseg info``.

    Parameters
    ----------
    file : Path
        A saved model, or a label file.
    json : bool
        For programs and not for people.
    messages : Messages
    """

    file: Path
    json: bool = False
    messages: Messages = Messages()


@dataclass(frozen=True)
class DemoArguments:
    """``ufseg demo``.

    Parameters
    ----------
    output : Path
        Folder of what a run in the terminal writes.
    headless : bool
        Run in the terminal even if a window could be opened.
    device : str
        As in `napari_ufseg.segment`.
    messages : Messages
    """

    output: Path
    headless: bool = False
    device: str = "auto"
    messages: Messages = Messages()


Arguments = SegmentArguments | PredictArguments | BatchArguments | InfoArguments | DemoArguments

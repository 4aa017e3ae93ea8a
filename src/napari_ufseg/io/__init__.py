"""Images and label images in files: TIFF, PNG, JPEG and OME-Zarr in, labels out in any of `LABEL_FORMATS`."""

from napari_ufseg.io.axis_steps import AxisSteps, Step, ToldSteps
from napari_ufseg.io.paths import (
    IMAGE_SUFFIXES,
    LABELS_ENDING,
    TIFF_SUFFIXES,
    ZARR_SUFFIX,
    cut_name,
    image_stem,
    is_zarr,
    require_no_address,
)
from napari_ufseg.io.quiet import with_log
from napari_ufseg.io.reading.claims import are_claims_believed, believe_claims
from napari_ufseg.io.reading.find import find_images
from napari_ufseg.io.reading.image_file import ImageFile, LazyArray, MissingLevelError
from napari_ufseg.io.reading.known_labels import MADE_BY_KEY, made_by, mixture_words
from napari_ufseg.io.reading.read_image import (
    images_in,
    label_images_of,
    open_image,
    read_image,
    read_label_numbers,
    read_labels,
    readable,
)
from napari_ufseg.io.reading.series import Series
from napari_ufseg.io.reading.zarr_pixels import missing_words, require_chunks
from napari_ufseg.io.replaceable import CHART_SOFTWARE, FileKind, check_no_data_lost, check_replaceable
from napari_ufseg.io.units import unit_name, unit_ratio, unit_symbol
from napari_ufseg.io.writing.label_formats import (
    LABEL_FORMATS,
    OME_ZARR,
    TIFF,
    LabelFormat,
    label_dialog_filters,
    label_endings,
    label_format,
    label_formats_told,
    label_titles,
    require_label_format,
)
from napari_ufseg.io.writing.label_grid import label_file_axes
from napari_ufseg.io.writing.label_zarr import (
    create_label_array,
    create_label_zarr,
    create_temporary_labels,
    finish_label_zarr,
)
from napari_ufseg.io.writing.labels import write_labels
from napari_ufseg.io.zarr_folder import folder_written_whole

__all__ = [
    "CHART_SOFTWARE",
    "IMAGE_SUFFIXES",
    "LABELS_ENDING",
    "LABEL_FORMATS",
    "MADE_BY_KEY",
    "OME_ZARR",
    "TIFF",
    "TIFF_SUFFIXES",
    "ZARR_SUFFIX",
    "AxisSteps",
    "FileKind",
    "ImageFile",
    "LabelFormat",
    "LazyArray",
    "MissingLevelError",
    "Series",
    "Step",
    "ToldSteps",
    "are_claims_believed",
    "believe_claims",
    "check_no_data_lost",
    "check_replaceable",
    "create_label_array",
    "create_label_zarr",
    "create_temporary_labels",
    "cut_name",
    "find_images",
    "finish_label_zarr",
    "folder_written_whole",
    "image_stem",
    "images_in",
    "is_zarr",
    "label_dialog_filters",
    "label_endings",
    "label_file_axes",
    "label_format",
    "label_formats_told",
    "label_images_of",
    "label_titles",
    "made_by",
    "missing_words",
    "mixture_words",
    "open_image",
    "read_image",
    "read_label_numbers",
    "read_labels",
    "readable",
    "require_chunks",
    "require_label_format",
    "require_no_address",
    "unit_name",
    "unit_ratio",
    "unit_symbol",
    "with_log",
    "write_labels",
]

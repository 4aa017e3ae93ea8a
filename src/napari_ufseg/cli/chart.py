"""Pictures for people: the area chart, and image, classes and outlines side by side."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from skimage.segmentation import mark_boundaries

from napari_ufseg.engine.files import written_whole
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.io import CHART_SOFTWARE, MADE_BY_KEY

Colour = tuple[int, int, int]

_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_SMOOTH = 4  # drawn so much larger, then shrunk, since Pillow draws without smoothing
_LEGEND_ROWS = 20


def colours_of(labels: Iterable[int], classes: ClassTable) -> dict[int, Colour]:
    """The colour of each label, as label files and the Labels layer of napari have it."""
    return {label: (red, green, blue) for label in labels for red, green, blue, _ in [classes[label].rgba]}


def write_chart(path: Path, areas: Mapping[int, int], unit: str, classes: ClassTable, made_by: str = "") -> None:
    """Write a pie chart of the area of each class as PNG.

    Parameters
    ----------
    path : Path
        The file.
    areas : dict of int to int
        Pixels of each label.
    unit : str
        What is counted: ``"pixels"``, or ``"voxels"`` for a volume.
    classes : ClassTable
        Has the colours.
    made_by : str
        The fingerprint of the model that has made the labels; the file says it.
    """
    colours = colours_of(areas, classes)
    ranked = sorted(areas.items(), key=lambda item: -item[1])
    rows = _legend_rows(ranked, unit)
    height = max(360, 60 + 26 * len(rows))
    chart = Image.new("RGB", (680 * _SMOOTH, height * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(chart)
    _draw_pie(draw, ranked, colours, height)
    _draw_legend(draw, rows, colours)
    with written_whole(path) as temporary:
        _save(chart.resize((680, height), Image.Resampling.LANCZOS), temporary, made_by)


def _draw_pie(
    draw: ImageDraw.ImageDraw, ranked: list[tuple[int, int]], colours: dict[int, Colour], height: int
) -> None:
    total = sum(count for _, count in ranked)
    top = (height - 320) / 2
    box = [round(v * _SMOOTH) for v in (20, top, 340, top + 320)]
    begin = -90.0
    for label, count in ranked:
        end = begin + 360 * count / total
        if len(ranked) == 1:
            draw.ellipse(box, fill=colours[label])
        else:
            draw.pieslice(box, begin, end, fill=colours[label], outline=_PAPER, width=_SMOOTH)
        begin = end


def _legend_rows(ranked: list[tuple[int, int]], unit: str) -> list[tuple[int | None, str, str, str]]:
    """(label or None, name, share, number) for the head and each row."""
    total = sum(count for _, count in ranked)
    shown = ranked if len(ranked) <= _LEGEND_ROWS else ranked[: _LEGEND_ROWS - 1]
    rows: list[tuple[int | None, str, str, str]] = [(None, "label", "share", unit)]
    rows += [(label, str(label), _percent(count / total), f"{count:,}") for label, count in shown]
    if len(shown) < len(ranked):
        rest = sum(count for _, count in ranked[len(shown) :])
        rows.append((None, f"{len(ranked) - len(shown)} more", _percent(rest / total), f"{rest:,}"))
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _draw_legend(
    draw: ImageDraw.ImageDraw, rows: list[tuple[int | None, str, str, str]], colours: dict[int, Colour]
) -> None:
    font = ImageFont.load_default(size=16 * _SMOOTH)
    for row, (label, name, share, number) in enumerate(rows):
        y = (30 + 26 * row + 10) * _SMOOTH
        if label is not None:
            box = [380 * _SMOOTH, y - 8 * _SMOOTH, 396 * _SMOOTH, y + 8 * _SMOOTH]
            draw.rectangle(box, fill=colours[label])
        draw.text((408 * _SMOOTH, y), name, _INK, font, anchor="lm")
        draw.text((550 * _SMOOTH, y), share, _INK, font, anchor="rm")
        draw.text((655 * _SMOOTH, y), number, _INK, font, anchor="rm")


def write_picture(path: Path, image: npt.NDArray[Any], labels: npt.NDArray[Any], classes: ClassTable) -> None:
    """Write image, class colours and outlines side by side as PNG.

    Parameters
    ----------
    path : Path
        The file.
    image : (Y, X) or (Y, X, 3) array
        What was segmented.
    labels : (Y, X) array of integers
        Its classes.
    classes : ClassTable
        Has their colours.
    """
    low, high = float(image.min()), float(image.max())
    shown = (image.astype(np.float64) - low) / ((high - low) or 1)
    shown = np.stack([shown] * 3, axis=-1) if shown.ndim == 2 else shown
    coloured = classes.coloured(labels)[..., :3] / 255  # the background as well
    larger = max(1, round(512 / max(labels.shape)))
    outlines = mark_boundaries(  # type: ignore[no-untyped-call]
        _enlarged(shown, larger), _enlarged(labels, larger), color=(1, 0.85, 0), mode="inner"
    )
    panels = {"image": _enlarged(shown, larger), "classes": _enlarged(coloured, larger), "outlines": outlines}
    picture = _side_by_side({name: np.round(255 * panel).astype(np.uint8) for name, panel in panels.items()})
    with written_whole(path) as temporary:
        _save(picture, temporary)


def _save(picture: Image.Image, path: Path, made_by: str = "") -> None:
    """Write a PNG that says that it is a chart, and to which labels it belongs."""
    said = PngInfo()
    said.add_text("Software", CHART_SOFTWARE)
    if made_by:
        said.add_text(MADE_BY_KEY, made_by)
    picture.save(path, "PNG", pnginfo=said)


def _enlarged(array: npt.NDArray[Any], times: int) -> npt.NDArray[Any]:
    return array.repeat(times, axis=0).repeat(times, axis=1)


def _side_by_side(panels: Mapping[str, npt.NDArray[np.uint8]]) -> Image.Image:
    gap, head = 12, 36
    height, width = next(iter(panels.values())).shape[:2]
    picture = Image.new("RGB", (gap + len(panels) * (width + gap), head + height + gap), _PAPER)
    draw = ImageDraw.Draw(picture)
    for i, (name, panel) in enumerate(panels.items()):
        x = gap + i * (width + gap)
        draw.text((x, head / 2), name, _INK, ImageFont.load_default(size=18), anchor="lm")
        picture.paste(Image.fromarray(panel), (x, head))
    return picture

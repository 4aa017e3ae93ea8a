import re

import numpy as np
import pytest

from napari_ufseg.engine.errors import ImageError
from napari_ufseg.engine.images.axes import checked_axes, describe, known_axes, resolved_axes, spatial_axes
from napari_ufseg.engine.images.source import open_source


@pytest.mark.parametrize(("axes", "ndim"), [("YX", 2), ("tzcyx", 5), ("QQYX", 4), ("XYZ", 3), ("CXYT", 4)])
def test_axes_come_back_in_capital_letters(axes, ndim):
    assert checked_axes(axes, ndim) == axes.upper()


@pytest.mark.parametrize(
    ("axes", "ndim", "sentence"),
    [
        (
            "SYX",
            3,
            "The axes 'SYX' have the letter 'S', which is none of "
            "T (time), Z (depth), C (channel), Y (row), X (column), Q (other).",
        ),
        (
            5,
            3,
            "The axes 5 have the letter '5', which is none of "
            "T (time), Z (depth), C (channel), Y (row), X (column), Q (other).",
        ),
        ("TYX", 4, "The axes 'TYX' name 3 axes, but image 2 has 4."),
        ("", 2, "The axes '' name 0 axes, but image 2 has 2."),
        ("TTYX", 4, "The axes 'TTYX' name T twice: each but Q may come once."),
        ("yxx", 3, "The axes 'yxx' name X twice: each but Q may come once."),
        ("TZX", 3, "The axes 'TZX' lack Y: Y and X, the rows and columns of a plane, are needed."),
        ("YQ", 2, "The axes 'YQ' lack X: Y and X, the rows and columns of a plane, are needed."),
    ],
)
def test_wrong_axes_are_said_in_one_sentence(axes, ndim, sentence):
    with pytest.raises(ImageError) as caught:
        checked_axes(axes, ndim, "Image 2")
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("shape", "told", "channel_axis", "expected"),
    [
        ((24, 32), None, None, "YX"),
        ((24, 32, 3), None, None, "YXC"),
        ((24, 32, 1), None, None, "YXC"),
        ((24, 32, 4), None, None, "YXC"),
        ((24, 32, 5), None, None, "?YX"),
        ((4, 32, 3), None, None, "?YX"),
        ((24, 4, 3), None, None, "?YX"),
        ((1, 24, 32), None, None, "QYX"),
        ((1, 7, 1, 24, 32), None, None, "Q?QYX"),
        ((7, 24, 32, 3), None, None, "??YX"),
        ((24, 32, 9), None, 2, "YXC"),
        ((24, 32, 9), None, -1, "YXC"),
        ((9, 24, 32), None, -3, "CYX"),
        ((24, 9, 32), None, 1, "YCX"),
        ((24, 9, 32), None, -2, "YCX"),
        ((5, 9, 24, 32), None, -3, "?CYX"),
        ((5, 24, 32, 9), None, -1, "?YXC"),
        ((1, 24, 32, 9), None, 3, "QYXC"),
        ((5, 24, 32), "ZYX", None, "ZYX"),
        ((5, 24, 32), "?YX", None, "?YX"),
        ((1, 24, 32), "?YX", None, "QYX"),
        ((1, 24, 32), "TYX", None, "TYX"),
        ((5, 24, 32), "?YX", 0, "CYX"),
        ((5, 24, 32, 3), "TYX?", -1, "TYXC"),
        ((5, 3, 24, 32), "C?YX", 1, "?CYX"),
        ((5, 24, 32), "QTZYX", None, "?YX"),
    ],
)
def test_what_is_known_of_the_axes(shape, told, channel_axis, expected):
    assert known_axes(shape, told, channel_axis) == expected


@pytest.mark.parametrize("shape", [(7, 24, 32), (3, 24, 32), (24, 32, 7), (2, 3, 24, 32), (24, 32, 3, 1)])
def test_a_leading_axis_is_asked_for_and_never_guessed(shape):
    with pytest.raises(ImageError) as caught:
        open_source(np.zeros(shape), name="Image 3")
    message = str(caught.value)
    assert message.startswith(f"Image 3 has shape {shape} and it is not clear what the axis of length {shape[0]} is: ")
    assert "T time, Z depth, C channel, Q other" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("axes", "shape"), [("?YX", (7, 24, 32)), ("??YX", (2, 3, 24, 32)), ("Z?YX", (6, 5, 24, 32)), ("YX?", (24, 32, 9))]
)
def test_the_example_in_the_question_is_an_answer(axes, shape):
    with pytest.raises(ImageError) as caught:
        resolved_axes(axes, shape)
    example = re.search(r"for example ([A-Z]+) if it is", str(caught.value))[1]
    assert open_source(np.zeros(shape), axes=example).axes == example
    assert all(letter in ("?", told) for letter, told in zip(axes, example, strict=True))


def test_axes_without_a_question_are_checked_too():
    assert resolved_axes("QYX", (7, 24, 32)) == "QYX"
    with pytest.raises(ImageError, match="lack Y"):
        resolved_axes("QX", (24, 32))


@pytest.mark.parametrize(
    ("shape", "axes", "dims", "words"),
    [
        ((130, 130), "YX", 2, "130 x 130, 1 channel"),
        ((130, 90, 3), "YXC", 2, "130 x 90, 3 channels"),
        ((48, 130, 130), "TYX", 2, "48 time points of 130 x 130, 1 channel"),
        ((48, 20, 2, 130, 90), "TZCYX", 2, "48 time points of 20 planes of 130 x 90, 2 channels"),
        ((48, 20, 2, 130, 90), "TZCYX", 3, "48 time points of 20 x 130 x 90, 2 channels"),
        ((20, 130, 90), "ZYX", 3, "20 x 130 x 90, 1 channel"),
        ((90, 130, 20), "XYZ", 3, "20 x 130 x 90, 1 channel"),
        ((1, 20, 1, 130, 90), "TZCYX", 2, "20 planes of 130 x 90, 1 channel"),
        ((5, 130, 90), "QYX", 2, "5 images of 130 x 90, 1 channel"),
        ((90, 130, 5), "XYT", 2, "5 time points of 130 x 90, 1 channel"),
        ((7, 130, 90), "?YX", 2, "7 planes (axis not known yet) of 130 x 90, 1 channel"),
        ((2, 3, 130, 90), "QQYX", 2, "2 images of 3 images of 130 x 90, 1 channel"),
    ],
)
def test_an_array_in_words(shape, axes, dims, words):
    assert describe(shape, axes, dims) == words


def test_the_axes_along_which_the_network_looks():
    assert spatial_axes("TZCYX", 2) == "YX"
    assert spatial_axes("TZCYX", 3) == "ZYX"
    assert spatial_axes("XTYZ", 3) == "XYZ"
    assert spatial_axes("XTYZ", 2) == "XY"


@pytest.mark.parametrize("axes", ["??", "???", "?YX", "Y?", "?X", "T??", "??C", "C???", "????YX", "Q??"])
def test_the_example_for_unknown_axes_can_be_given_as_it_stands(axes: str) -> None:
    shape = tuple(range(5, 5 + len(axes)))
    with pytest.raises(ImageError, match="it is not clear what") as caught:
        resolved_axes(axes, shape)
    example = str(caught.value).partition("for example ")[2].split()[0]
    assert checked_axes(example, len(shape)) == example
    assert all(letter in ("?", given) for letter, given in zip(axes, example, strict=True))

"""Colours in order of brightness: they are ordered by lightness, and every kind of eyes tells them apart."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_ufseg.engine.errors import ConfigError
from napari_ufseg.engine.labels.palette import brightness_palette, shades_for, shades_of

# Machado, Oliveira and Fernandes (2009), https://doi.org/10.1109/TVCG.2009.113, severity 1.0
SIGHT = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# the smallest CIEDE2000 between two of n colours: with normal sight, and with any that is colour-blind
APART = {
    2: (80, 54), 3: (41, 26), 4: (41, 26), 5: (39, 25), 6: (34, 22), 7: (27, 18), 8: (25, 16.9),
    9: (22, 15), 10: (20, 13), 11: (17, 11), 12: (17, 11),
}  # fmt: skip


def simulate_colour_blindness(rgb, kind):
    """(n, 3) sRGB as these eyes see them."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SIGHT[kind]).T, 0, 1)
    return np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


def seen(n, kind="normal"):
    """(n, 3) CIELAB of the n colours."""
    return rgb2lab(simulate_colour_blindness(brightness_palette(n), kind))


@pytest.mark.parametrize("kind", SIGHT)
@pytest.mark.parametrize("n", range(2, 13))
def test_any_two_colours_are_told_apart(n, kind):
    lab, (one, other) = seen(n, kind), np.triu_indices(n, 1)
    assert deltaE_ciede2000(lab[one], lab[other]).min() >= APART[n][kind != "normal"]


@pytest.mark.parametrize("kind", SIGHT)
@pytest.mark.parametrize("n", range(2, 13))
def test_what_is_brighter_is_lighter_to_all_eyes(n, kind):
    assert (np.diff(seen(n, kind)[:, 0]) > 0).all()


@pytest.mark.parametrize("n", [1, 2, 5, 8, 12, 13, 40, 1000])
def test_all_are_seen_on_black_and_on_white(n):
    lightness = seen(n)[:, 0]
    assert lightness.min() >= 35
    assert lightness.max() <= 90


@pytest.mark.parametrize("n", range(2, 13))
def test_they_are_vivid_and_neighbours_differ_in_hue(n):
    _, a, b = seen(n).T
    turn = np.diff(np.degrees(np.arctan2(b, a)))
    assert np.hypot(a, b).min() > 40
    assert np.abs((turn + 180) % 360 - 180).min() > 40


def test_two_classes_are_a_deep_blue_and_a_bright_yellow():
    _, a, b = seen(2).T
    assert np.hypot(a, b).min() > 75
    assert b[0] < 0 < b[1]


@pytest.mark.parametrize("n", [13, 100, 1000, 65535])
def test_of_many_classes_lightness_rises_and_neighbours_differ(n):
    lab = seen(n)
    assert (np.diff(lab[:, 0]) > 0).all()
    assert deltaE_ciede2000(lab[1:], lab[:-1]).min() > 15


@pytest.mark.parametrize("n", [0, 1, 7, 12, 13, np.uint16(300), 65535])
def test_there_are_n_colours(n):
    colours = brightness_palette(n)
    assert colours.shape == (n, 3)
    assert colours.dtype == np.float64
    assert ((colours >= 0) & (colours <= 1)).all()
    assert len(np.unique(colours, axis=0)) == n


@pytest.mark.parametrize("n", [3, 20])
def test_they_are_the_same_every_time_and_nobody_can_change_them(n):
    colours = brightness_palette(n)
    with pytest.raises(ValueError, match="read-only"):
        colours[0] = 0
    np.testing.assert_array_equal(brightness_palette(n), colours)


@pytest.mark.parametrize("n", [-1, 2.0, "3", None, True])
def test_what_is_no_number_of_classes_is_said(n):
    with pytest.raises(ConfigError, match="whole number, at least 0"):
        brightness_palette(n)


def test_colours_stay_as_long_as_brighter_classes_are_lighter():
    three, four = {5: 0.1, 2: 0.4, 9: 0.7}, {5: 0.1, 2: 0.4, 9: 0.7, 1: 0.8}
    known = shades_of(four)
    assert known != {**known, **shades_of(three)}
    assert shades_for(three, known) == {label: known[label] for label in three}
    assert shades_for(four, shades_of(three)) == known  # one has none
    darker = {**three, 9: 0.0}
    assert shades_for(darker, known) == shades_of(darker)
    assert shades_for({}, known) == {}

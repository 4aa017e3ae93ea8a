"""Older results of an image when another one is laid over it: hidden, and never deleted."""

from typing import Any

import numpy as np
import pytest
from driver import QUICK, WAIT, Dock
from steps import choose


def shown(dock: Dock) -> list[str]:
    """The names of the layers that can be seen."""
    return [layer.name for layer in dock.viewer.layers if layer.visible]


def paint(layer: Any) -> None:
    """So that the layer is not taken over by the next run."""
    layer.paint((0,) * (layer.ndim - 2) + (5, 5), 99)


@pytest.fixture
def stack(dock: Dock, picture: np.ndarray) -> Any:
    """Six planes, the only image; with what is segmented of it chosen."""
    dock.viewer.layers.clear()
    dock.widget.what = "Current plane"
    planes = np.stack([np.roll(picture, 3 * z, axis=1) for z in range(6)])
    return dock.viewer.add_image(
        planes, name="s", axis_labels=("z", "y", "x"), scale=(3, 1, 1), translate=(5, 0, 0), rotate=np.eye(3)
    )


def segment_plane(dock: Dock, z: int, what: str = "Current plane") -> Any:
    dock.viewer.dims.set_current_step(0, z)
    dock.widget.what = what
    dock.segment_to_end()


def test_a_new_result_hides_the_older_ones_of_its_image_and_nothing_else(dock: Dock, picture: np.ndarray) -> None:
    dock.viewer.add_image(picture, name="other")
    mine = dock.viewer.add_labels(np.ones(picture.shape, int), name="mine")
    for name in ("other", "cells", "cells"):
        choose(dock, name)
        dock.segment_to_end()
        paint(dock.viewer.layers[-1])
    assert mine.visible
    assert shown(dock) == ["cells", "other", "mine", "other classes", "cells classes [1]"]
    assert (dock.viewer.layers["cells classes"].data == 99).any()  # hidden, but there


def test_a_layer_that_is_taken_over_or_trained_on_stays_visible_and_hides_nothing(dock: Dock) -> None:
    dock.segment_to_end()
    first = dock.viewer.layers["cells classes"]
    paint(first)
    dock.segment_to_end()
    first.visible = True  # to compare
    dock.widget.config = QUICK.replace(seed=1)
    dock.segment_to_end()
    assert shown(dock) == ["cells", "cells classes", "cells classes [1]"]
    choose(dock, "cells classes")
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        dock.click("continue")
    assert shown(dock) == ["cells", "cells classes", "cells classes [1]"]


def test_what_is_hidden_during_a_run_stays_hidden(dock: Dock) -> None:
    layer = dock.start_endless()
    layer.visible = False
    dock.stop()
    assert not layer.visible


def test_labels_of_a_model_hide_older_ones_too(dock: Dock) -> None:
    dock.segment_to_end()
    paint(dock.viewer.layers["cells classes"])
    dock.click("apply_model")
    dock.qtbot.waitUntil(lambda: dock.part("status").text().startswith("Done: the model"), timeout=WAIT)
    assert shown(dock) == ["cells", "cells classes [1]"]


def test_another_plane_is_no_older_result(dock: Dock, stack: Any) -> None:
    segment_plane(dock, 1)
    segment_plane(dock, 2)
    assert shown(dock) == ["s", "s classes, z=1", "s classes, z=2"]
    segment_plane(dock, 2, "All planes")
    assert shown(dock) == ["s", "s classes"]
    segment_plane(dock, 1)  # is taken over, and was hidden
    assert shown(dock) == ["s", "s classes, z=1"]


def test_planes_of_a_lower_resolution_cover_several(dock: Dock, stack: Any) -> None:
    full = stack.data
    dock.viewer.layers.remove(stack)
    dock.viewer.add_image(
        [full, full[::2, ::2, ::2]], name="p", multiscale=True, axis_labels=("z", "y", "x"), translate=(5, 0, 0)
    )
    for z in (1, 2, 3, 4):
        segment_plane(dock, z)
    dock.part("resolution").setCurrentIndex(1)
    segment_plane(dock, 2)
    assert shown(dock) == ["p", "p classes, z=1", "p classes, z=4", "p classes, z=2 [1]"]


def test_results_of_channels_in_front_hide_each_other(dock: Dock, picture: np.ndarray) -> None:
    dock.viewer.layers.clear()
    names = ("c", "z", "y", "x")
    dock.viewer.add_image(np.stack([np.stack([picture] * 3)] * 2), name="m", axis_labels=names, translate=(9, 5, 1, 1))
    segment_plane(dock, 0)
    dock.viewer.dims.set_current_step(1, 2)
    dock.segment_to_end()
    paint(dock.viewer.layers[-1])
    dock.segment_to_end()
    assert len(shown(dock)) == 3  # of two planes the newest one
    dock.widget.what = "All planes"
    dock.segment_to_end()
    assert shown(dock) == ["m", "m classes"]

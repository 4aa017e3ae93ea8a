"""Apply model: how far it is, Stop, and one computation at a time."""

import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from driver import ENDLESS, QUICK, WAIT, Dock
from napari.layers import Labels

from napari_ufseg import predict
from napari_ufseg._napari.background import processor
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.prediction import labelling

N_TILES, TILE = 8, 512


class Slow:
    """An image of several tiles, with which a function of the engine waits at its nth call until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, after: int) -> None:
        self.whole = np.random.default_rng(0).integers(0, 255, (TILE, N_TILES * TILE), np.uint8)
        self._go = threading.Event()
        real, calls = getattr(place, name), count()

        def slow(*arguments: Any) -> Any:
            if next(calls) >= after:
                assert self._go.wait(20)
            return real(*arguments)

        monkeypatch.setattr(place, name, slow)

    def release(self) -> None:
        self._go.set()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiles come one after the other, on whatever machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def midway(dock: Dock, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Slow]]:
    """Begins to apply a model to an image, which comes to a halt after so many tiles."""
    begun = []

    def begin(after: int = N_TILES // 2, place: Any = labelling, name: str = "label_box") -> Slow:
        dock.segment_to_end()
        begun.append(Slow(monkeypatch, place, name, after))
        dock.viewer.add_image(begun[0].whole, name="slow")
        dock.click("apply_model")
        return begun[0]

    yield begin
    begun[0].release()


def wait_for_half(dock: Dock) -> None:
    bar = dock.part("progress")
    dock.qtbot.waitUntil(lambda: bar.format().startswith("labels 50%, about "), timeout=20_000)


def status(dock: Dock) -> str:
    return str(dock.part("status").text())


def wait_for_end(dock: Dock) -> None:
    dock.qtbot.waitUntil(lambda: dock.part("apply_model").isEnabled(), timeout=WAIT)


def can(dock: Dock) -> dict[str, bool]:
    return {name: dock.part(name).isEnabled() for name in ("segment", "pause", "stop", "apply_model")}


def test_the_share_and_the_time_left_are_shown_and_the_buttons_follow(dock: Dock, midway: Callable[..., Slow]) -> None:
    slow = midway()
    wait_for_half(dock)
    assert dock.part("progress").value() / dock.part("progress").maximum() == 0.5
    assert status(dock) == "Applying the model to slow"
    assert can(dock) == {"segment": False, "pause": False, "stop": True, "apply_model": False}
    slow.release()
    wait_for_end(dock)
    assert status(dock) == "Done: the model has labelled slow."
    assert can(dock) == {"segment": True, "pause": False, "stop": False, "apply_model": True}
    layer = dock.viewer.layers["slow classes"]
    np.testing.assert_array_equal(layer.data, predict(dock.widget.results.model, slow.whole, device="cpu"))
    assert layer.editable


def test_stop_leaves_the_rest_at_0_and_says_so(dock: Dock, midway: Callable[..., Slow]) -> None:
    slow = midway()
    wait_for_half(dock)
    dock.click("stop")
    assert not can(dock)["stop"]
    slow.release()
    wait_for_end(dock)
    assert dock.part("progress").format() == "labels 62%"
    assert status(dock) == "Stopped: 62% labelled, the rest is 0, in slow."  # the tile under way was finished
    labels = np.asarray(dock.viewer.layers["slow classes"].data)
    expected = predict(dock.widget.results.model, slow.whole, device="cpu")
    np.testing.assert_array_equal(labels[:, : 5 * TILE], expected[:, : 5 * TILE])
    assert not labels[:, 5 * TILE :].any()
    dock.viewer.layers.selection.active = dock.viewer.layers["cells"]
    dock.segment_to_end()


def test_stop_while_the_image_is_read_changes_nothing(dock: Dock, midway: Callable[..., Slow]) -> None:
    slow = midway(2, ImageSource, "read")
    dock.qtbot.waitUntil(lambda: dock.part("progress").format() == "reading the image", timeout=WAIT)
    before = list(dock.viewer.layers)
    dock.click("stop")
    slow.release()
    wait_for_end(dock)
    assert status(dock) == "Stopped before slow had its first label; nothing was changed."
    assert list(dock.viewer.layers) == before


def test_a_failure_is_told_once_and_the_dock_goes_on(
    dock: Dock, notices: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dock.segment_to_end()
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise RuntimeError("the kernel is broken")

        patch.setattr("napari_ufseg.engine.prediction.labelling.label_box", broken)
        dock.click("apply_model")
        wait_for_end(dock)
    assert [notice.message for notice in notices] == [status(dock)]
    assert "the kernel is broken" in status(dock)
    dock.click("apply_model")
    wait_for_end(dock)
    assert status(dock) == "Done: the model has labelled cells."
    dock.viewer.add_image(np.eye(9), name="another")
    assert status(dock) == "Ready"


def test_while_a_model_is_applied_neither_run_nor_folder_begins(
    dock: Dock, midway: Callable[..., Slow], notices: list[Any], tmp_path: Path
) -> None:
    slow = midway()
    wait_for_half(dock)
    words = "A model is being applied: wait until it has ended, or press Stop (F7) first."
    dock.widget.segment()
    dock.widget.folder.folder.setText(str(tmp_path))
    dock.part("folder.start").click()
    assert [notice.message for notice in notices] == [words] * 2
    assert not dock.widget.is_running
    assert not dock.widget.folder.is_running
    slow.release()
    wait_for_end(dock)
    np.testing.assert_array_equal(
        dock.viewer.layers["slow classes"].data, predict(dock.widget.results.model, slow.whole, device="cpu")
    )


def test_during_a_run_neither_apply_nor_folder_begins(dock: Dock, notices: list[Any], tmp_path: Path) -> None:
    dock.segment_to_end()
    dock.widget.config = ENDLESS
    dock.click("segment")
    dock.qtbot.waitUntil(lambda: dock.part("pause").isEnabled(), timeout=WAIT)
    words = "A run is under way: wait until it has ended, or press Stop (F7) first."
    dock.click("apply_model")
    dock.widget.folder.folder.setText(str(tmp_path))
    dock.part("folder.start").click()
    dock.widget.segment()
    assert [notice.message for notice in notices] == [words] * 3
    result = dock.stop()
    layers = [layer for layer in dock.viewer.layers if isinstance(layer, Labels)]
    assert len(layers) == 1
    np.testing.assert_array_equal(layers[0].data, result.labels[0])


@pytest.mark.parametrize("what", ["segment", "apply_model", "folder.start"])
def test_whatever_computes_waits_until_another_window_has_finished(
    dock: Dock, what: str, tmp_path: Path, picture: np.ndarray
) -> None:
    dock.segment_to_end()
    tifffile.imwrite(tmp_path / "a.tif", picture)
    widget = dock.widget
    widget.folder.folder.setText(str(tmp_path))
    widget.config = QUICK.replace(seed=1)
    with processor(1):
        dock.part(what).click()
        dock.qtbot.wait(300)
        assert widget.is_running or widget.results.application.is_running or widget.folder.is_running
        assert "epoch" not in dock.part("progress").format() or what == "folder.start"
        assert not list(tmp_path.with_name(f"{tmp_path.name}_labels").rglob("*.tif"))
    dock.qtbot.waitUntil(
        lambda: not (widget.is_running or widget.results.application.is_running or widget.folder.is_running),
        timeout=WAIT,
    )
    assert "Done" in (dock.part("folder.status").text() if what == "folder.start" else status(dock))

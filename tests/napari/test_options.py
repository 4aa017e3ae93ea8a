"""Options in the dock: every one is there, explained, bounded, and used."""

import re
import threading

import numpy as np
import pytest
from driver import WAIT, Dock
from pyqtgraph import PlotWidget
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QScrollArea,
    QSpinBox,
    QTableWidget,
    QVBoxLayout,
    QWidget,
)
from steps import rest

from napari_ufseg import SegmentationConfig
from napari_ufseg._napari.dock.layout import WheelGuard
from napari_ufseg._napari.method.device_choice import devices_there
from napari_ufseg.engine.config import PRESET_HELP, PRESETS, options
from napari_ufseg.engine.device import available_devices
from napari_ufseg.engine.processor import DEVICES


def test_every_option_has_a_control_with_range_and_help(dock):
    for name, option in options().items():
        if name == "spatial_dims":  # chosen in words
            assert "3D" in dock.part("what").toolTip()
            continue
        control = dock.part(f"option.{name}")
        assert option.help in control.toolTip()
        if option.choices:
            assert tuple(control.itemText(i) for i in range(control.count())) == option.choices
        elif option.is_switch:
            assert isinstance(control, QCheckBox)
            assert control.text() == ""  # the label beside it says what it is
            assert control.accessibleName() == option.label
        else:
            assert (control.minimum(), control.maximum()) == (option.minimum, option.maximum)
            assert control.singleStep() == pytest.approx(option.step)


def test_a_change_of_a_control_reaches_the_run(dock):
    dock.part("option.n_classes").setValue(5)
    dock.part("option.learning_rate").setValue(0.05)
    dock.part("option.scaling").setCurrentText("percentile")
    result = dock.segment_to_end()
    assert (result.config.n_classes, result.config.learning_rate, result.config.scaling) == (5, 0.05, "percentile")


def test_a_preset_sets_all_options_and_reset_brings_them_back(dock):
    for preset in PRESETS:
        dock.part("preset", QComboBox).setCurrentText(preset)
        dock.click("reset")
        assert dock.widget.config == SegmentationConfig.preset(preset)
        assert not dock.part("reset").isEnabled()
        dock.part("option.nu").setValue(9.5)
        assert dock.widget.config == SegmentationConfig.preset(preset, nu=9.5)
        assert dock.part("reset").isEnabled()
        dock.click("reset")
        assert dock.widget.config == SegmentationConfig.preset(preset)


def test_presets_are_explained_with_a_picture_each(dock):
    presets = dock.part("preset", QComboBox)
    pictures = set()
    for i in range(presets.count()):
        image = presets.itemIcon(i).pixmap(24, 24).toImage()
        assert not image.isNull()
        colours = {image.pixel(x, y) for x in range(image.width()) for y in range(image.height())}
        assert len(colours) > 4
        pictures.add(frozenset(colours))
        presets.setCurrentIndex(i)
        words = presets.toolTip()
        assert PRESET_HELP[presets.itemText(i)] in words
        file = re.search(r'<img src="([^"]+)"', words)
        assert file is not None
        assert not QImage(file.group(1)).isNull()
    assert len(pictures) == presets.count() == len(PRESETS)


def test_digits_that_a_control_does_not_show_are_kept(dock):
    dock.widget.config = SegmentationConfig.preset("fast", nu=0.123456789)
    dock.part("option.mu").setValue(2.5)
    assert dock.widget.config.nu == 0.123456789


def test_options_cannot_change_during_a_run(dock):
    dock.start_endless()
    kinds = (QAbstractSpinBox, QComboBox, QCheckBox)
    controls = [control for kind in kinds for control in dock.widget.findChildren(kind)]
    named = [control for control in controls if control.objectName().startswith("ufseg.option.")]
    assert len(named) == len(options()) - 1  # but for spatial_dims
    named += [dock.part("what"), dock.part("preset"), dock.part("device")]
    assert not any(control.isEnabled() for control in named)
    dock.stop()
    assert all(control.isEnabled() for control in named)


def devices(dock):
    return [dock.part("device").itemText(i) for i in range(dock.part("device").count())]


def test_only_the_devices_of_this_machine_are_offered(dock):
    there = available_devices()
    expected = [name for name in DEVICES if name == "auto" or name in there]
    dock.qtbot.waitUntil(lambda: devices_there == there and devices(dock) == expected, timeout=WAIT)


def machine_with(monkeypatch, *names):
    """Let the machine have these devices, which nobody has asked for yet."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):  # of an earlier dock, which is about to ask
            thread.join()
    monkeypatch.setattr("napari_ufseg.engine.device.available_devices", lambda: list(names))
    monkeypatch.setattr("napari_ufseg._napari.method.device_choice.devices_there", [])


def test_a_gpu_is_offered_once_it_is_known_and_the_choice_stays(make_napari_viewer_proxy, qtbot, monkeypatch):
    machine_with(monkeypatch, "cuda", "cpu")
    dock = Dock(make_napari_viewer_proxy(), qtbot)
    assert devices(dock) == ["auto", "cpu"]
    qtbot.waitUntil(lambda: devices(dock) == ["auto", "cpu", "cuda"], timeout=WAIT)
    assert dock.widget.device == "cpu"


@pytest.mark.parametrize("name", ["cuda", "abacus"])
def test_a_device_that_a_script_names_is_asked_for_whatever_is_there(
    make_napari_viewer_proxy, qtbot, monkeypatch, name
):
    machine_with(monkeypatch, "mps", "cpu")
    dock = Dock(make_napari_viewer_proxy(), qtbot)
    dock.widget.device = name
    qtbot.waitUntil(lambda: sorted(devices(dock)) == sorted(["auto", "cpu", "mps", name]), timeout=WAIT)
    assert dock.widget.device == dock.part("device").currentText() == name


def test_the_dock_begins_with_the_users_defaults(make_napari_viewer_proxy, qtbot, tmp_path):
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings("napari-ufseg").run
    before = (settings.preset, settings.device)
    viewer = make_napari_viewer_proxy()
    try:
        settings.preset, settings.device = "paper", "mps"
        _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
        assert widget.config == SegmentationConfig.preset("paper")
        assert widget.device == "mps"
    finally:
        settings.preset, settings.device = before


def test_the_curves_and_the_advanced_options_can_be_unfolded_and_folded_away(dock):
    dock.part("more_segment.title").click()
    for name, inner in (("advanced", "option.mu"), ("curves", "plot")):
        for is_shown in (False, True, False):
            assert dock.part(inner).isVisibleTo(dock.widget) == is_shown
            dock.part(f"{name}.title").click()


@pytest.mark.parametrize("most", [1.2, 2.0, 4.9, 16.4, 99.0, 1e4])
def test_epochs_and_classes_are_counted_in_whole_numbers(dock, most):
    plots = {part.accessibleName(): part for part in dock.part("plot").findChildren(PlotWidget)}
    classes, loss = (plots[f"Curve of {what} over epochs"] for what in ("classes", "loss"))
    for axis in (classes.getAxis("left"), classes.getAxis("bottom"), loss.getAxis("bottom")):
        ticks = [tick for _, values in axis.tickValues(0.6, most, 80) for tick in values]
        assert ticks
        assert all(tick == round(tick) for tick in ticks)
        assert axis.tickStrings([1.0, 2.0], 1, 1) == ["1", "2"]


def test_a_curve_of_one_epoch_can_be_seen(dock):
    dock.widget.config = dock.widget.config.replace(epochs=1)
    dock.segment_to_end()
    curves = [part.getPlotItem().curves[0] for part in dock.part("plot").findChildren(PlotWidget)]
    assert dock.part("plot").epochs == [1]
    assert [curve.opts["symbol"] for curve in curves] == ["o", "o"]
    dock.start_endless()
    dock.qtbot.waitUntil(lambda: len(dock.part("plot").epochs) > 1, timeout=WAIT)
    assert [curve.opts["symbol"] for curve in curves] == [None, None]
    dock.stop()


def turn_the_wheel(part):
    """Gives whether the part has taken it; else Qt hands a real one on to what lies below."""
    here = QPointF(part.rect().center())
    none = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    turn = QWheelEvent(here, here, QPoint(), QPoint(0, -120), *none, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(part, turn)
    return turn.isAccepted()


def test_the_wheel_changes_no_option_and_is_left_to_the_column(dock):
    for name in ("device", "preset"):
        assert dock.part(name, QComboBox).count() > 1
        dock.part(name, QComboBox).setCurrentIndex(0)
    before = dock.widget.config, dock.widget.device
    area = dock.widget.findChild(QScrollArea).widget()
    parts = [*(part for kind in (QAbstractSpinBox, QComboBox) for part in area.findChildren(kind))]
    parts += [dock.part(name) for name in ("time", "loss")]
    parts += [plot.viewport() for plot in dock.part("plot").findChildren(PlotWidget)]
    assert len(parts) > 20
    assert not any(turn_the_wheel(part) for part in parts)
    assert (dock.widget.config, dock.widget.device) == before


def test_the_wheel_scrolls_a_table(qtbot):
    table, column = QTableWidget(30, 1), QWidget()
    QVBoxLayout(column).addWidget(table)
    WheelGuard(column).guard(column)
    qtbot.addWidget(column)
    column.resize(200, 150)
    column.show()
    turn_the_wheel(table.viewport())
    assert table.verticalScrollBar().value() > 0


def test_the_wheel_changes_a_control_that_has_the_focus(qtbot):
    box = QSpinBox()
    column = QWidget()
    QVBoxLayout(column).addWidget(box)
    WheelGuard(column).guard(column)
    qtbot.addWidget(column)
    column.show()
    box.setValue(7)
    turn_the_wheel(box)
    assert box.value() == 7
    column.activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus, timeout=WAIT)
    turn_the_wheel(box)
    assert box.value() == 6


def test_the_buttons_stay_where_they_are_however_much_there_is_to_say(dock):
    def places():
        for _ in range(4):
            dock.widget.grab()  # lays it out
        parts = (dock.part(name) for name in ("segment", "pause", "stop", "progress"))
        return [part.mapTo(dock.widget, part.rect().topLeft()) for part in parts]

    def below():
        part = dock.part("more_segment.title")
        return part.mapTo(dock.widget, part.rect().topLeft())

    words = dock.part("status")
    words.setText("Waiting")
    before, more = places(), below()
    words.setText("Done: 3 classes after 40 epochs on cpu.")
    assert places() == before
    assert below() == more  # there was room for two lines
    words.setText("The layer 'cells' has an axis of length 48 and it is not known what it is. " * 5)
    assert places() == before
    assert words.height() >= words.heightForWidth(words.width())


def test_parts_that_scripts_rely_on_have_their_names(dock):
    for name in ("image", "preset", "segment", "pause", "stop", "progress", "status", "device", "plot"):
        dock.part(name)
    assert isinstance(dock.part("status"), QLabel)
    assert isinstance(dock.part("image"), QComboBox)


@pytest.mark.parametrize(("sample", "layers"), [("nuclei", 1), ("stained_tissue", 1), ("cells", 1), ("time_series", 2)])
def test_samples_open_and_can_be_chosen(make_napari_viewer_proxy, qtbot, sample, layers):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-ufseg", sample)
    assert len(viewer.layers) == layers
    dock = Dock(viewer, qtbot)
    assert dock.part("image", QComboBox).currentText() == viewer.layers[0].name


def test_the_time_series_can_be_segmented_and_its_truth_found(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-ufseg", "time_series")
    dock = Dock(viewer, qtbot)
    dock.widget.config = SegmentationConfig.preset("fast", n_features=8, epochs=10)
    viewer.layers.selection.active = viewer.layers["time series"]
    dock.segment_to_end()
    found = viewer.layers["time series classes"].data
    truth = viewer.layers["time series truth"].data
    commonest = [np.bincount(found[truth == kind]).argmax() for kind in (1, 3)]
    assert found.shape == truth.shape
    assert commonest[0] != commonest[1]  # background and bright discs are told apart


def test_the_command_segments_the_active_image(make_napari_viewer_proxy, qtbot, picture):
    from napari_ufseg._napari.dock.widget import segment_active

    viewer = make_napari_viewer_proxy()
    viewer.add_image(picture, name="cells")
    segment_active(viewer)
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    assert widget.is_running
    with qtbot.waitSignal(widget.run_finished, timeout=WAIT):
        widget.stop()


def test_segment_pause_and_stop_have_keys_and_keep_them(dock):
    """Keys that napari leaves free: it takes Alt with a letter for menus and screenshots."""
    keys = {"segment": "F5", "pause": "F6", "stop": "F7"}
    assert {name: dock.part(name).shortcut().toString() for name in keys} == keys
    assert all(f"({key})" in dock.part(name).toolTip() for name, key in keys.items())
    dock.start_endless()
    dock.click("pause")
    dock.qtbot.waitUntil(lambda: dock.part("pause").text() == "Resume", timeout=WAIT)
    assert dock.part("pause").shortcut().toString() == "F6"
    dock.stop()


@pytest.fixture
def run_preferences():
    """What the Preferences say of runs, and in the end again what they said before."""
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings("napari-ufseg").run
    before = settings.threads
    settings.threads = 2
    yield settings
    settings.threads = before


def change_an_option(dock):
    dock.widget.config = dock.widget.config.replace(epochs=7)


JOBS = ["segment", "confidence", "try", "estimate", "apply_model"]


@pytest.mark.parametrize("job", JOBS)
def test_whatever_starts_after_a_change_of_the_preferences_takes_the_new_number_of_threads(
    run_preferences, dock, monkeypatch, job
):
    import torch

    if job != "estimate":
        dock.segment_to_end()
    run_preferences.threads = 3
    told = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    if job == "estimate":
        change_an_option(dock)
    else:
        dock.click(job)
    dock.qtbot.waitUntil(lambda: bool(told), timeout=WAIT)
    dock.click("stop")
    rest(dock)
    assert told[0] == 3

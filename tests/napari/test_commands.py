"""The commands of the plugin in napari's command palette."""

import re
from typing import Any

import numpy as np
import pytest
from driver import QUICK, WAIT, Dock
from napari._app_model import get_app_model
from napari._qt.widgets.qt_command_palette import QCommandPalette
from qtpy.QtWidgets import QFileDialog, QPushButton
from steps import areas, choose, draw, rest, scrub, segment, select_classes

TITLES = "Segment: "


def run(name: str) -> None:
    """Run a command, as napari's command palette does."""
    get_app_model().commands.execute_command(f"napari-ufseg.{name}").result()


def titles() -> dict[str, str]:
    """The commands of the plugin that a user finds in the palette."""
    app = get_app_model()
    commands = [item.command for item in app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)]
    return {command.id: command.title for command in commands if command.id.startswith("napari-ufseg.")}


def buttons(dock: Dock) -> list[str]:
    """Those with a name, but for what is done with folders."""
    names = [button.objectName() for button in dock.widget.findChildren(QPushButton)]
    return [name.removeprefix("ufseg.") for name in names if re.fullmatch(r"ufseg\.\w+", name)]


@pytest.fixture
def chosen(dock: Dock) -> Dock:
    """A dock with a result, whose two largest classes are selected."""
    choose(dock, segment(dock, "cells").name)
    select_classes(dock, *sorted(areas(dock), key=areas(dock).get)[-2:])
    return dock


def test_every_button_of_the_dock_is_in_the_palette_under_a_title_that_begins_alike(dock: Dock) -> None:
    there = titles()
    assert len(buttons(dock)) >= 22
    for name in buttons(dock):
        assert there[f"napari-ufseg.{name}"].startswith(TITLES), name
    assert len(set(there.values())) == len(there)


def test_a_user_finds_a_command_by_its_words_and_runs_it(chosen: Dock) -> None:
    before = len(areas(chosen))
    palette = QCommandPalette()
    chosen.qtbot.addWidget(palette)
    palette._on_text_changed("merge selected classes")
    found = [command.id for command in palette._list.iter_command()]
    palette._list.execute(found.index("napari-ufseg.merge"))
    assert len(areas(chosen)) == before - 1


def test_what_is_not_possible_says_why_and_does_nothing(dock: Dock, notices: list[Any]) -> None:
    dock.viewer.layers.clear()
    grey = [name for name in buttons(dock) if not dock.part(name).isEnabled()]
    assert len(grey) >= 15
    for name in grey:
        run(name)
        button = dock.part(name)
        assert button.toolTip(), name
        assert notices.pop().message == f"{button.text().rstrip('.')} is not possible now. {button.toolTip()}"
        assert notices == []
    assert len(dock.viewer.layers) == 0
    assert not dock.widget.is_running


def test_the_dock_is_opened_for_a_command(make_napari_viewer_proxy: Any, qtbot: Any, picture: np.ndarray) -> None:
    viewer = make_napari_viewer_proxy()
    viewer.add_image(picture, name="cells")
    run("segment")
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    assert widget.is_running
    with qtbot.waitSignal(widget.run_finished, timeout=WAIT):
        run("stop")


def test_a_dock_that_was_hidden_is_shown(dock: Dock) -> None:
    dock.dock.hide()
    run("new_scribbles")
    assert not dock.dock.isHidden()
    assert "cells scribbles" in dock.viewer.layers


def test_a_run_by_commands(dock: Dock) -> None:
    dock.start_endless()
    run("pause")
    dock.qtbot.waitUntil(lambda: dock.part("pause").text() == "Resume", timeout=WAIT)
    run("pause")
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT):
        run("stop")
    choose(dock, "cells classes")
    dock.widget.config = QUICK
    with dock.qtbot.waitSignal(dock.widget.run_finished, timeout=WAIT) as signal:
        run("continue")
    assert signal.args[0].history
    dock.widget.config = QUICK.replace(epochs=9)
    run("reset")
    assert not dock.part("reset").isEnabled()


def test_classes_by_commands(chosen: Dock) -> None:
    layer = chosen.viewer.layers["cells classes"]
    begun, selected = np.array(layer.data), chosen.widget.classes.view.labels
    run("background")
    assert not np.isin(selected, layer.data).any()
    run("undo")
    np.testing.assert_array_equal(layer.data, begun)
    run("redo")
    run("undo")
    select_classes(chosen, selected[-1])
    assert layer.show_selected_label
    run("show_all")
    assert not layer.show_selected_label
    select_classes(chosen, selected[0])
    run("split")
    assert len(np.unique(layer.data)) > len(np.unique(begun))
    before = len(np.unique(layer.data))
    run("absorb")
    assert len(np.unique(layer.data)) < before
    run("new_scribbles")
    draw(chosen.viewer.layers["cells scribbles"], 77)
    choose(chosen, "cells classes")
    run("merge_by_scribbles")
    assert 77 in layer.data


def test_models_moments_and_confidence_by_commands(
    chosen: Dock, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    names = {"save_labels": "labels.tif", "save_model": "model.safetensors"}
    for name, file in names.items():
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, file=file: (str(tmp_path / file), ""))
        run(name)
        assert (tmp_path / file).exists()
    chosen.widget.results.model = None
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / names["save_model"]), ""))
    run("load_model")
    assert chosen.widget.results.model is not None
    with chosen.qtbot.waitSignal(chosen.widget._results.confidence.ended, timeout=WAIT):
        run("confidence")
    run("least_certain")
    assert "cells least certain" in chosen.viewer.layers
    run("confidence")
    assert not chosen.viewer.layers["cells confidence"].visible
    scrub(chosen, 0)
    with chosen.qtbot.waitSignal(chosen.widget.run_finished, timeout=WAIT):
        run("keep_moment")
    with chosen.qtbot.waitSignal(chosen.widget.results.application.ended, timeout=WAIT):
        run("apply_model")
    run("try")
    assert chosen.widget._before.variations.is_running
    run("stop")
    rest(chosen)

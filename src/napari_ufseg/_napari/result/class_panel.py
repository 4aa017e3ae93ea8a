"""The classes in the dock: a table, bars of the areas, and what can be done to classes by click or key."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QKeySequence
from qtpy.QtWidgets import QColorDialog, QGridLayout, QHBoxLayout, QSlider, QSpinBox, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_ufseg._napari.parts import PlainLabel, allow, named_button, plain
from napari_ufseg._napari.result.class_table import AreaChart, ClassRows, ClassView
from napari_ufseg._napari.result.result import Result
from napari_ufseg.engine.errors import counted
from napari_ufseg.engine.labels.class_table import BACKGROUND, as_hex

_NONE = "No classes yet: press Segment, or select a Labels layer that this plugin has made."
_SCRIBBLES = (
    "Give every class the label that you have painted most on it in the layer of scribbles, and the scribbles theirs (S).\n"
    "Paint one label over pieces of each thing that you mean; classes without a scribble stay. Continue then learns it."
)
_DETAIL = (
    "How many classes are shown: two tell things from their background, more tell more kinds apart (arrow keys).\n"
    "The classes stay as they are: the slider goes back and forth at once, and loses nothing that was painted."
)
_NO_DETAIL = "Only the result of a run or a model has finer classes: press Segment, or apply a model."
_ONE_DETAIL = "There are no finer classes than those that are shown."
_SEE_THROUGH = (
    "Take the selected class for the background: transparent, with its number kept (only Background writes 0)."
)
_TURN = (
    "Take the other side for the background: what stands out is dark then if it is bright now, or bright if it is dark."
)
_OTHER_SIDE = {None: "Other side", True: "Dark things instead", False: "Bright things instead"}
_SELECT_ONE, _SELECT_TWO = "Select a class in the table first.", "Select two classes or more in the table first."
_NO_BACKGROUND = "The background has the label 0 by now, or there is nothing else that could take its place."
_SPECK = 20
_MOST_SPECK = 1_000_000


class DetailRow(QWidget):
    """A slider from two classes to all of them.

    Signals
    -------
    moved(int)
        The user wants to see so many classes.
    """

    moved = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("ufseg.detail")
        self.slider.setAccessibleName("Detail")
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setTickInterval(1)
        self.slider.valueChanged.connect(self.moved)
        self.least, self.most = PlainLabel(), PlainLabel()
        self._title = PlainLabel("Detail")
        self._title.setBuddy(self.slider)
        for part in (self._title, self.least):
            row.addWidget(part)
        row.addWidget(self.slider, 1)
        row.addWidget(self.most)
        self.look_at(None)

    def look_at(self, result: Result | None) -> None:
        """Show how many classes are shown, and could be."""
        details = result.details if result is not None else range(0)
        detail = result.shown_detail if result is not None else 0
        with signals_blocked(self.slider):
            self.slider.setRange(details.start, max(details.start, details.stop - 1))
            self.slider.setValue(detail)
        more = (
            1 if result is not None and BACKGROUND in result.areas else 0
        )  # what the user has made 0 is shown as well
        self.least.setText(str(detail + more) if details else "")
        self.most.setText(f"of {details.stop - 1 + more}" if details else "")
        self.setEnabled(len(details) > 1)
        tip = _DETAIL if len(details) > 1 else _NO_DETAIL if not details else _ONE_DETAIL
        for part in (self._title, self.slider):
            part.setToolTip(plain(tip))


class ClassPanel(QWidget):
    """Shows one `Result` at a time; `more` has what is seldom needed, and is laid out by its owner.

    A click on a class selects its label and shows it alone; Esc shows all again.

    Signals
    -------
    failed(str), told(str)
        One sentence for the user.
    scribbles_wanted()
        The classes are to be merged by the scribbles that lie over them.
    """

    failed = Signal(str)
    told = Signal(str)
    scribbles_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("ufseg.class_panel")
        self.set: Result | None = None  # what is shown
        self.more = QWidget(self)
        self._build(QVBoxLayout(self))
        self._build_more(QVBoxLayout(self.more))
        self._connect()
        self._show()

    def look_at(self, classes: Result | None) -> None:
        """Show another set."""
        if classes is self.set:
            return
        if self.set is not None:
            self._show_all()
            self._disconnect(self.set)
        self.set = classes
        if classes is not None:
            classes.changed.connect(self._show)
            classes.history.changed.connect(self._enable)
            classes.editor.progressed.connect(self._on_progress)
            classes.editor.failed.connect(self.failed)
            classes.told.connect(self.told)
        self._show()

    # -- assembly ---------------------------------------------------------------------------------

    def _build(self, column: QVBoxLayout) -> None:
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self._about = PlainLabel()
        self._about.setObjectName("ufseg.about_classes")
        self._about.setWordWrap(True)
        self._rows = ClassRows(self)
        self.view = ClassView(self._rows)
        self.detail = DetailRow()
        for part in (self.detail, self.view, self._about):
            column.addWidget(part)
        self._merge = named_button("Merge", "merge", "Make one class of the selected ones; a name is kept (M).")
        self._background = named_button(
            "Background",
            "background",
            "Give the selected classes, or without a selection the background that was found, the label 0, in the labels "
            "and in what is saved (B).",
        )
        self._see_through = named_button("Make transparent", "see_through", _SEE_THROUGH)
        self._turn = named_button(_OTHER_SIDE[True], "turn", _TURN)
        self._undo, self._redo = named_button("Undo", "undo", ""), named_button("Redo", "redo", "")
        grid = QGridLayout()
        column.addLayout(grid)
        buttons = (self._merge, self._background, self._undo, self._see_through, self._turn, self._redo)
        for place, button in enumerate(buttons):
            grid.addWidget(button, *divmod(place, 3))

    def _build_more(self, column: QVBoxLayout) -> None:
        column.setContentsMargins(0, 0, 0, 0)
        self.chart = AreaChart()
        column.addWidget(self.chart)
        self._split = named_button("Split into regions", "split", "Make every connected region a class of its own.")
        self._all = named_button("Show all", "show_all", "Show all classes again (Esc).")
        self._by_scribbles = named_button("Merge by scribbles", "merge_by_scribbles", _SCRIBBLES)
        row = QHBoxLayout()
        column.addLayout(row)
        for button in (self._split, self._by_scribbles, self._all):
            row.addWidget(button)
        row = QHBoxLayout()
        column.addLayout(row)
        self._absorb = named_button(
            "Absorb specks under", "absorb", "Give smaller regions to the neighbour around them."
        )
        self._size = QSpinBox()
        self._size.setObjectName("ufseg.speck_size")
        self._size.setAccessibleName("Size of specks")
        self._size.setRange(2, _MOST_SPECK)
        self._size.setValue(_SPECK)
        self._size.setSuffix(" px")
        self._size.setToolTip("Regions with fewer pixels are specks; larger removes larger ones.")
        row.addWidget(self._absorb)
        row.addWidget(self._size)

    def _connect(self) -> None:
        self.detail.moved.connect(self._on_detail)
        self._rows.renamed.connect(self._on_renamed)
        self._rows.shown.connect(self._on_shown)
        self.view.selected.connect(self._on_selected)
        self.view.colour_wanted.connect(self._choose_colour)
        header = self.view.horizontalHeader()
        assert header is not None
        header.sortIndicatorChanged.connect(lambda *_: self._draw_chart())
        for button, action in (
            (self._merge, self.merge),
            (self._background, self.make_background),
            (self._see_through, self.choose_background),
            (self._turn, self.turn_background),
            (self._split, self.split),
            (self._absorb, self.absorb),
            (self._by_scribbles, self.merge_by_scribbles),
            (self._all, self._show_all),
            (self._undo, self.undo),
            (self._redo, self.redo),
        ):
            button.clicked.connect(lambda _=False, action=action: action())
        for keys, action in (
            ("M", self.merge),
            ("B", self.make_background),
            ("S", self.merge_by_scribbles),
            ("Esc", self._show_all),
            (QKeySequence.StandardKey.Undo, self.undo),
            (QKeySequence.StandardKey.Redo, self.redo),
        ):
            self.view.keys.append((QKeySequence(keys), action))

    def _disconnect(self, classes: Result) -> None:
        classes.changed.disconnect(self._show)
        classes.history.changed.disconnect(self._enable)
        classes.editor.progressed.disconnect(self._on_progress)
        classes.editor.failed.disconnect(self.failed)
        classes.told.disconnect(self.told)

    # -- what a user can do -----------------------------------------------------------------------

    def merge(self) -> None:
        """Make one class of the selected ones, and select it."""
        if self.set is not None and self._can_edit:
            into = self.set.merge(self.view.labels)
            if into is not None:
                self.view.select([into])

    def make_background(self) -> None:
        """Give the selected classes the label 0; with none selected the background that was found."""
        if self.set is not None and self._can_edit:
            found = [] if self.set.background is None else [self.set.background]
            self.set.make_background(self.view.labels or found)
            self._show_all()

    def choose_background(self) -> None:
        """Let the selected class be the one that is transparent."""
        if self.set is not None and self._can_edit and len(self.view.labels) == 1:
            self.set.choose_background(self.view.labels[0])
            self._show_all()

    def turn_background(self) -> None:
        """Let what was taken for things be the background, and the other way round."""
        if self.set is not None and self._can_edit:
            self._show_all()
            self.set.turn_background()

    def split(self) -> None:
        """Make every connected region of the selected classes a class of its own."""
        if self.set is not None and self._can_edit:
            chosen = self.view.labels
            self._show_all()
            self.set.split(chosen)

    def absorb(self) -> None:
        """Give small regions to their neighbours."""
        if self.set is not None and self._can_edit:
            self.set.absorb(self._size.value())

    def merge_by_scribbles(self) -> None:
        """Ask for a merge by what is painted over the classes."""
        if self._can_edit:
            self.scribbles_wanted.emit()

    def undo(self) -> None:
        """Take the last step back."""
        if self.set is not None and self._can_edit:
            self.set.undo()

    def redo(self) -> None:
        """Do it again."""
        if self.set is not None and self._can_edit:
            self.set.redo()

    # -- what is shown ----------------------------------------------------------------------------

    @property
    def _can_edit(self) -> bool:
        return self.set is not None and not self.set.is_locked

    def _show(self) -> None:
        """Bring everything up to date."""
        classes = self.set
        self.detail.look_at(classes)
        if classes is None:
            self._rows.show(self._rows.table, {})
            self._about.setText(_NONE)
        else:
            chosen = self.view.labels
            self._rows.show(classes.table, classes.areas, classes.background)
            if self.view.labels != chosen:
                self.view.select(chosen)
            if self.view.labels != chosen:  # some are gone
                self._on_selected()
            n_classes = len([label for label in classes.areas if label != BACKGROUND])
            self._about.setText(f"{counted(n_classes, 'class')} in {', '.join(layer.name for layer in classes.layers)}")
        self._about.setVisible(classes is None)  # else it is said above
        self._draw_chart()
        self._enable()

    def _draw_chart(self) -> None:
        if self.set is not None:
            self.chart.show_areas(self.set.table, self.set.areas, self.view.order)
        else:
            self.chart.show_areas(self._rows.table, {}, [])

    def _enable(self) -> None:
        result, chosen = self.set, self.view.labels
        why_not = _NONE if result is None else result.why_locked
        some = [label for label in chosen if label != BACKGROUND]
        allow(self._merge, why_not or ("" if len(chosen) > 1 else _SELECT_TWO))
        has_found = result is not None and result.background is not None and not chosen
        allow(self._background, why_not or ("" if some or has_found else _SELECT_ONE))
        allow(self._split, why_not or ("" if some else _SELECT_ONE))
        for button in (self._absorb, self._by_scribbles, self._all):
            allow(button, why_not)
        allow(self._see_through, why_not or self._why_not_see_through())
        tree = result.tree if result is not None else None
        is_bright = tree.things_are_bright if tree is not None else None
        allow(self._turn, why_not or (_NO_BACKGROUND if is_bright is None else ""))
        self._turn.setText(_OTHER_SIDE[is_bright])
        history = result.history if result is not None else None
        for button, verb, step in (
            (self._undo, "Undo", history and history.last),
            (self._redo, "Redo", history and history.next),
        ):
            button.setEnabled(not why_not and step is not None)
            told = f"{verb}: {step.title}\n{history.summary}" if step and history else f"Nothing to {verb.lower()}."
            button.setToolTip(plain(why_not or told))

    def _why_not_see_through(self) -> str:
        """Why the selected class can't be made the background, which keeps its number; empty if it can."""
        assert self.set is not None
        chosen = self.view.labels
        if len(chosen) != 1:
            return "Select one class in the table first."
        if chosen[0] == self.set.background:
            return "It is transparent already."
        return (
            "" if chosen[0] in self.set.tree.areas else "Only classes of a run or a model can be that: use Background."
        )

    def _on_detail(self, detail: int) -> None:
        if self.set is not None:
            self._show_all()
            self.set.show_detail(detail)

    def _on_renamed(self, label: int, name: str) -> None:
        if self.set is not None:
            self.set.rename(label, name)

    def _on_shown(self, label: int, is_shown: bool) -> None:
        if self.set is not None:
            self.set.set_visible(label, is_shown)

    def _on_selected(self) -> None:
        """Show a single selected class alone."""
        if self.set is not None:
            chosen = self.view.labels
            # of a hidden class there would be nothing to see
            is_one = len(chosen) == 1 and chosen[0] != BACKGROUND and self.set.table[chosen[0]].is_visible
            for layer in self.set.layers:
                if chosen:
                    layer.selected_label = chosen[-1]
                # of a class that colours join out of several labels, napari would show but one of them
                is_alone = is_one and not self.set.joined_by_colour(layer)
                if layer.show_selected_label != is_alone:  # else it would be drawn anew for nothing
                    layer.show_selected_label = is_alone
        self._enable()

    def _show_all(self) -> None:
        self.view.clearSelection()
        self._on_selected()  # a selected class that is gone was no longer in the selection

    def _choose_colour(self, label: int) -> None:
        if self.set is None or label == BACKGROUND:
            return
        info = self.set.table[label]
        chosen = QColorDialog.getColor(QColor.fromRgbF(*info.rgb), self, f"Colour of {info.title}")
        if chosen.isValid():
            self.set.recolour(label, as_hex(chosen.getRgbF()))

    def _on_progress(self, words: str, share: float) -> None:
        if words:
            self._about.setText(f"{words}, {share:.0%}")
        self._about.setVisible(bool(words) or self.set is None)
        self._enable()

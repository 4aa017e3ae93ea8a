"""Names and colours of classes: defaults, changes, and the way to a file and back."""

import json

import numpy as np
import pytest

from napari_ufseg.engine.labels.class_table import ClassInfo, ClassTable, Detail, as_hex, class_colours


def test_what_nobody_has_named_is_called_by_its_label():
    table = ClassTable()
    assert (table[0].title, table[3].title) == ("background", "class 3")
    np.testing.assert_allclose(table[3].rgb, class_colours()[2])
    assert not table.has_own_look


def test_a_table_never_changes():
    first = ClassTable().changed(2, name="nuclei")
    second = first.changed(2, colour="#102030").changed(5, is_visible=False)
    assert (first[2].colour, second[2].name, second[2].rgb) == ("", "nuclei", (16 / 255, 32 / 255, 48 / 255))
    assert second.has_own_look
    assert not first.has_own_look


def test_a_merge_of_what_was_merged_is_followed_to_its_end():
    table = ClassTable().changed(3, name="old").merged({3: 1, 4: 1}).merged({1: 0})
    assert table.label_of == {3: 0, 4: 0, 1: 0}
    assert table[3].title == "class 3"
    assert ClassTable().merged({1: 2}).merged({2: 1}).label_of == {2: 1}  # 1 is what it was


def test_a_table_goes_through_json():
    table = ClassTable().changed(2, name="Zellkern µ", colour="#102030").changed(9, parent=2, is_visible=False)
    again = ClassTable.from_list(json.loads(json.dumps(table.to_list())))
    assert dict(again) == dict(table)
    assert again.parents == {9: 2}


@pytest.mark.parametrize("item", [None, 7, {}, {"label": "x"}, {"name": "no label"}, {"label": 1, "parent": "y"}])
def test_what_cannot_be_understood_is_left_out(item):
    assert list(ClassTable.from_list([item, {"label": 4, "name": "good", "colour": "no colour"}])) == [4]


def test_colours_as_hex():
    assert as_hex((1.0, 0.5019, 0.0, 1.0)) == "#ff8000"


def test_regions_are_called_after_what_they_were_split_from_and_belong_to_the_first_of_it():
    table = ClassTable([ClassInfo(2, "cell")]).split({5: 2, 4: 2, 7: 3})
    assert {label: table[label].title for label in table} == {2: "cell", 4: "cell (4)", 5: "cell (5)", 7: "class 3 (7)"}
    assert table.split({9: 5}).parents == {4: 2, 5: 2, 7: 3, 9: 2}
    many = ClassTable().split(dict.fromkeys(range(10, 30_010), 1))  # as of noise
    assert len(many.merged(dict.fromkeys(range(10, 30_010), 1)).label_of) == 30_000


def test_merges_are_followed_to_their_end():
    table = ClassTable().merged({1: 2}).merged({2: 3}).merged({3: 4})
    assert table.label_of == {1: 4, 2: 4, 3: 4}


def test_two_labels_change_places_and_their_names_go_along():
    table = ClassTable([ClassInfo(1, "nuclei", "#102030"), ClassInfo(3, "debris")]).merged({4: 1})
    swapped = table.merged({1: 2, 2: 1})
    assert swapped.label_of == {4: 2, 1: 2, 2: 1}
    assert {label: info.title for label, info in swapped.items()} == {
        1: "class 1", 2: "nuclei", 3: "debris", 4: "class 4"
    }  # fmt: skip
    assert swapped[2].colour == "#102030"
    assert swapped.merged({1: 2, 2: 1}).label_of == {4: 1}
    assert swapped.merged({1: 0, 2: 0, 3: 0})[0].title == "background"
    assert dict(swapped.settled.label_of) == {}
    assert swapped.settled[2].title == "nuclei"


SHOWN = {1: 1, 2: 1, 3: 3, 4: 3, 5: 1}


def test_a_table_of_what_is_shown_knows_its_detail_and_what_stands_for_what():
    table = ClassTable([ClassInfo(3, "cells"), ClassInfo(9, becomes=2)]).shown(SHOWN)
    assert table.detail == (2, 5)
    assert table.stands_for == {1: (1, 2, 5, 9), 3: (3, 4)}  # 9 was merged into a class that is shown as 1
    assert (ClassTable().detail, ClassTable().stands_for) == (None, {})
    assert ClassTable().merged({4: 0, 1: 2, 2: 1}).stands_for == {0: (4,), 1: (2,), 2: (1,)}
    alone = ClassTable().shown({1: 1, 2: 2})
    assert (alone.detail, alone.stands_for, bool(alone)) == ((2, 2), {}, True)
    assert alone != ClassTable()


def test_the_detail_stays_as_long_as_it_holds():
    table = ClassTable().shown(SHOWN)
    for changed in (table.changed(1, name="x"), table.shaded({1: "#102030"}), table.shown({})):
        assert changed.detail == (2, 5)
    assert table.shown({1: 1, 3: 1}).detail == (1, 2)
    for other in (table.merged({3: 1}), table.split({7: 1}), table.settled, table.of_labels([1, 3])):
        assert other.detail is None


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (Detail(2, 8).said, (2, 8)),
        *((bad, None) for bad in (None, {}, {"detail": 2}, {"detail": None}, {"detail": {"shown": 2}})),
        *(({"detail": {"shown": shown, "of": of}}, None) for shown, of in ((0, 3), (4, 3), ("many", 3), (None, 3))),
    ],
)
def test_a_list_may_say_the_detail(said, detail):
    table = ClassTable.from_list([said, {"label": 4, "name": "good"}])
    assert (table.detail, list(table)) == (detail, [4])


def test_a_picture_of_labels_is_clear_where_nothing_is_drawn():
    table = ClassTable([ClassInfo(2, colour="#ff8000"), ClassInfo(3, is_visible=False), ClassInfo(4, shade="#0000ff")])
    labels = np.array([[0, 1, 2], [3, 4, 700]], np.uint16)
    picture = table.coloured(labels)
    assert (picture.shape, picture.dtype) == ((2, 3, 4), np.uint8)
    assert picture[..., 3].tolist() == [[0, 255, 255], [0, 255, 255]]
    assert picture[0, 2].tolist() == [255, 128, 0, 255]
    assert picture[1, 1].tolist() == [0, 0, 255, 255]
    assert picture[1, 2].tolist() == table[700].rgba
    assert table.coloured(np.zeros((0, 5), np.uint8)).shape == (0, 5, 4)

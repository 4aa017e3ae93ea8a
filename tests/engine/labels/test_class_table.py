"""Names and colours of classes: defaults, changes, and the way to a file and back."""

import json

import numpy as np
import pytest

from napari_ufseg.engine.labels.class_table import ClassInfo, ClassTable, as_hex, class_colours


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

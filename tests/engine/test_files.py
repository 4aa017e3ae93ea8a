import pytest

from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.files import written_whole


def test_the_file_appears_when_the_block_ends_well(tmp_path):
    target = tmp_path / "new" / "folder" / "a.tif"
    with written_whole(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".tif"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("x"), KeyboardInterrupt()])
def test_the_old_file_stays_when_it_does_not(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    expected = FileError if isinstance(error, OSError) else type(error)

    def write_half():
        with written_whole(str(target)) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(expected) as caught:
        write_half()
    if expected is FileError:
        assert str(caught.value) == f"Cannot write {target}: No space left on device."
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "folder", tmp_path / "file" / "inside", tmp_path / ("x" * 300)):
        with pytest.raises(FileError, match=r"^Cannot write "), written_whole(target) as temporary:
            temporary.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert not list((tmp_path / "folder").iterdir())


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path):
    target = tmp_path / ("x" * 250 + ".txt")
    with written_whole(target) as temporary:
        temporary.write_text("long")
    assert target.read_text() == "long"

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import napari_ufseg
from napari_ufseg.engine.errors import FileError
from napari_ufseg.engine.files import check_writable, placed_whole, temporary_folder, written_together, written_whole
from napari_ufseg.engine.leftovers import _machine, clear_litter, exchange, restore

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and pipes as on Unix")


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


# -- links, modes, and what is no file ------------------------------------------------------------------


@posix
@pytest.mark.parametrize("n_links", [1, 2, 3])
@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("is_relative", [True, False])
def test_what_a_link_leads_to_is_written(tmp_path, n_links, is_there, is_relative):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "data.txt"
    if is_there:
        target.write_text("old")
    path = target
    for number in range(n_links):
        link = tmp_path / f"link{number}.txt"
        link.symlink_to(os.path.relpath(path, tmp_path) if is_relative else path)
        path = link
    with written_whole(path) as temporary:
        temporary.write_text("new")
    assert path.is_symlink()
    assert target.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["far", *(f"link{n}.txt" for n in range(n_links))]
    assert list(target.parent.iterdir()) == [target]


@posix
def test_a_link_to_itself_is_told(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileError, match="leads to itself"), written_whole(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o700, 0o755, 0o200])
def test_the_mode_of_a_file_is_kept(tmp_path, mode):
    target = tmp_path / "a.txt"
    target.write_text("old")
    target.chmod(mode)
    with written_whole(target) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) & 0o077 & ~mode == 0  # not open to others meanwhile
        temporary.write_text("new")
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert target.read_bytes() == b"new"


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_every_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        with written_whole(tmp_path / "a") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o555])
def test_a_read_only_file_is_told_and_stays(tmp_path, mode):
    target = tmp_path / "a.txt"
    target.write_text("old")
    target.chmod(mode)
    for write in (check_writable, lambda path: written_whole(path).__enter__()):
        with pytest.raises(FileError, match=r"a\.txt: the file that is there is read-only\."):
            write(target)
    assert target.read_text() == "old"
    target.chmod(0o600)
    assert list(tmp_path.iterdir()) == [target]


@posix
def test_a_pipe_is_neither_replaced_nor_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for write in (check_writable, lambda path: written_whole(path).__enter__()):
        with pytest.raises(FileError, match="that is no file"):
            write(tmp_path / "pipe")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize(
    "name",
    ["x" * 256, "細" * 86, "🔬" * 64, "é" * 128, "a" * 250 + ".tiffs"],
    ids=["letters", "Chinese", "emoji", "accents", "ending"],
)
@pytest.mark.parametrize("below", ["", "folder"])
def test_a_name_that_is_too_long_is_told_beforehand(tmp_path, name, below):
    for path in (tmp_path / below / name, tmp_path / name / "a.tif"):
        with pytest.raises(
            FileError, match=rf"the name {name[:20]}\.\.\. is too long, it has {len(name.encode())} bytes"
        ):
            check_writable(path)
    check_writable(tmp_path / below / name.encode()[:252].decode(errors="ignore"))
    assert not list(tmp_path.iterdir())


# -- what belongs together -------------------------------------------------------------------------------


def test_files_that_belong_together_appear_together(tmp_path):
    (tmp_path / "b").write_text("old")
    with written_together():
        for name in "abc":
            with written_whole(tmp_path / name) as temporary:
                temporary.write_text("new")
            assert not (tmp_path / "a").exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys("abc", "new")


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_if_one_of_them_fails_all_stay_as_they_were(tmp_path, at, error):
    for name in "abc":
        (tmp_path / name).write_text("old")

    def write_all():
        with written_together():
            for number, name in enumerate("abc"):
                with written_whole(tmp_path / name) as temporary:
                    temporary.write_text("new")
                    if number == at:
                        raise error

    with pytest.raises(FileError if isinstance(error, OSError) else type(error)):
        write_all()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys("abc", "old")


# -- what dead writers leave ------------------------------------------------------------------------------


def end_in_the_middle(code, *arguments):
    """Run a script that ends without a chance to clear up, as by SIGKILL."""
    script = "import os, sys\nfrom pathlib import Path\nfrom napari_ufseg.engine import files, leftovers\n" + code
    paths = [str(Path(napari_ufseg.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], env=environment, check=False)
    assert done.returncode == 9


HALF = """
with files.written_whole(sys.argv[1]) as temporary:
    temporary.write_text("ha")
    with files.temporary_folder(Path(sys.argv[1])) as folder:
        (folder / "chunk").write_text("x")
        os._exit(9)
"""


@pytest.mark.parametrize("again", ["same", "other", "folder"])
def test_the_next_writer_clears_what_a_dead_one_has_left(tmp_path, again):
    end_in_the_middle(HALF, tmp_path / "a.txt")
    assert len(list(tmp_path.iterdir())) == 2
    if again == "folder":
        with temporary_folder(tmp_path / "b") as folder:
            assert list(tmp_path.iterdir()) == [folder]
        assert not list(tmp_path.iterdir())
        return
    target = tmp_path / ("a.txt" if again == "same" else "b.txt")
    with written_whole(target) as temporary:
        temporary.write_text("whole")
    assert list(tmp_path.iterdir()) == [target]


def test_what_somebody_else_is_writing_stays(tmp_path):
    host = _machine()
    theirs = [
        tmp_path / f".ufseg-{host}-{os.getppid()}-0123abcd.tif",  # alive
        tmp_path / f".ufseg-another{host}-1999999999-0123abcd.tif",  # of another machine
        tmp_path / ".ufseg-notes.txt",  # not ours
    ]
    for path in theirs:
        path.write_text("theirs")
    with written_whole(tmp_path / "a") as mine, written_whole(tmp_path / "b") as too:
        mine.write_text("a")
        too.write_text("b")
    assert sorted(tmp_path.iterdir()) == sorted([*theirs, tmp_path / "a", tmp_path / "b"])


KILLED_BETWEEN = """
leftovers._swapped = lambda new, target: False
rename = Path.rename
def killed(self, target):
    if Path(target).name == "l.zarr" and Path(target).parent == Path(sys.argv[1]):
        os._exit(9)
    return rename(self, target)
Path.rename = killed
with files.placed_whole(Path(sys.argv[1]) / "l.zarr", leftovers.exchange) as (_, temporary):
    temporary.mkdir()
    (temporary / "new").touch()
"""


@pytest.mark.parametrize("mended_by", ["a writer", "a writer of another file", "a reader"])
def test_what_was_hidden_when_its_writer_was_killed_comes_back(tmp_path, mended_by):
    target = tmp_path / "l.zarr"
    target.mkdir()
    (target / "old").touch()
    end_in_the_middle(KILLED_BETWEEN, tmp_path)
    assert not target.exists()
    if mended_by == "a reader":
        restore(target)
        assert list(target.iterdir()) == [target / "old"]
        clear_litter(tmp_path)
    elif mended_by == "a writer":
        with pytest.raises(KeyError), placed_whole(target, exchange):
            raise KeyError
    else:
        with written_whole(tmp_path / "other") as temporary:
            temporary.touch()
        (tmp_path / "other").unlink()
    assert list(target.iterdir()) == [target / "old"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr("napari_ufseg.engine.leftovers._swapped", lambda new, target: False)
    target = tmp_path / "l.zarr"
    for name in ("first", "second", "third"):
        with placed_whole(target, exchange) as (_, temporary):
            temporary.mkdir()
            (temporary / name).touch()
        assert list(target.iterdir()) == [target / name]
        assert list(tmp_path.iterdir()) == [target]

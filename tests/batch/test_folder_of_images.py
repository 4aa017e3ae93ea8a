"""A folder labelled file by file: real images in real folders."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
import zarr

from napari_ufseg import SegmentationConfig, predict
from napari_ufseg.batch.folder import BatchPlan, BatchSummary, FileDone, FileProgress, files_of, run_batch
from napari_ufseg.engine.errors import ConfigError, DeviceError, FileError, ImageError, UfsegError
from napari_ufseg.engine.labels.hierarchy import build_hierarchy
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.io import create_label_array, open_image, read_labels, write_labels

CONFIG = SegmentationConfig(n_features=4, n_classes=5, n_convolutions=1)
FULL = OSError(28, "No space left on device")
GOOD = ["a.png", "b.tif", "time/c.tif", "time/late/d.tif"]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> SegmentationModel:
    torch.manual_seed(1)
    return SegmentationModel(FeatureNet(1, 4, 5, 1).eval(), CONFIG, 1)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in three folders, and things that are none."""
    place = tmp_path / "images"
    (place / "time" / "late").mkdir(parents=True)
    iio.imwrite(place / "a.png", noise(20, 24))
    about = {"axes": "YX", "unit": "um"}
    tifffile.imwrite(place / "b.tif", noise(22, 20, seed=1), imagej=True, resolution=(2, 4), metadata=about)
    stack = noise(3, 16, 18, seed=2)
    tifffile.imwrite(place / "time" / "c.tif", stack, imagej=True, metadata={"axes": "TYX", "finterval": 5})
    tifffile.imwrite(place / "time" / "late" / "d.tif", noise(20, 20, seed=3))
    (place / "notes.txt").write_text("no image")
    (place / ".hidden.png").write_text("no image")
    return place


def plan_of(model: SegmentationModel, folder: Path, **options: Any) -> BatchPlan:
    return BatchPlan(model, folder, **{"output": folder.parent / "out", "device": "cpu", **options})


def run(plan: BatchPlan, **options: Any) -> tuple[list[FileDone], BatchSummary]:
    events = run_batch(plan, **options)
    done = []
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return done, end.value
        if isinstance(event, FileDone):
            done.append(event)


def tree(folder: Path) -> list[str]:
    """All files and folders, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_layout_is_mirrored_and_no_image_is_touched(model: SegmentationModel, folder: Path) -> None:
    before = contents(folder)
    done, summary = run(plan_of(model, folder))
    out = folder.parent / "out"
    labels = ["a_labels.tif", "b_labels.tif", "time", "time/c_labels.tif", "time/late", "time/late/d_labels.tif"]
    assert tree(out) == labels
    assert [event.path for event in done] == [folder / name for name in GOOD]
    assert [event.output for event in done] == [out / name for name in labels if name.endswith(".tif")]
    assert [(event.number, event.total, event.status, event.message) for event in done] == [
        (number, 4, "written", "") for number in (1, 2, 3, 4)
    ]
    assert all(event.seconds > 0 for event in done)
    assert summary == BatchSummary(written=4)
    assert str(summary) == "4 written, 0 skipped, 0 failed"
    assert contents(folder) == before
    expected = predict(model, tifffile.imread(folder / "time" / "c.tif"), axes="TYX", device="cpu")
    np.testing.assert_array_equal(tifffile.imread(out / "time" / "c_labels.tif"), expected)


def test_labels_show_the_detail_that_the_model_suggests_or_that_is_asked_for(
    model: SegmentationModel, folder: Path
) -> None:
    image = iio.imread(folder / "a.png")
    areas = dict(zip(*map(np.ndarray.tolist, np.unique(predict(model, image), return_counts=True)), strict=True))
    tree = build_hierarchy(areas, {label: [float(label)] for label in areas})
    knowing = replace(model, hierarchy=replace(tree, suggested=3))
    for options, n_classes in (({}, 3), ({"detail": "auto"}, 3), ({"detail": 2}, 2), ({"detail": "all"}, len(areas))):
        plan = plan_of(knowing, folder, recursive=False, existing="overwrite", **options)
        done, _ = run(plan)
        labels = read_labels(done[0].output)
        assert len(np.unique(labels)) == n_classes
        np.testing.assert_array_equal(labels, predict(knowing, image, device="cpu", detail=plan.detail))
    np.testing.assert_array_equal(labels, predict(model, image, device="cpu"))
    with pytest.raises(ConfigError, match="detail is 'few'"):
        plan_of(model, folder, detail="few")


def test_labels_keep_axes_and_scale(model: SegmentationModel, folder: Path) -> None:
    run(plan_of(model, folder))
    flat, series = (open_image(folder.parent / "out" / name) for name in ("b_labels.tif", "time/c_labels.tif"))
    assert (flat.axes, flat.scale, flat.unit) == ("YX", (0.25, 0.5), "µm")
    assert (series.axes, series.scale[0]) == ("TYX", 5)


def test_ome_zarr_out_and_in(model: SegmentationModel, folder: Path) -> None:
    zarr.save_array(folder / "e.ome.zarr", noise(30, 30))
    done, summary = run(plan_of(model, folder, format="ome.zarr", recursive=False))
    names = [event.output.name for event in done]
    assert names == ["a_labels.ome.zarr", "b_labels.ome.zarr", "e_labels.ome.zarr"]
    assert summary.written == 3
    np.testing.assert_array_equal(
        read_labels(done[0].output), predict(model, iio.imread(folder / "a.png"), device="cpu")
    )
    assert run(plan_of(model, folder, format="ome.zarr", recursive=False))[1] == BatchSummary(skipped=3)


def test_labels_beside_the_images_are_no_images_of_the_next_run(model: SegmentationModel, folder: Path) -> None:
    assert run(plan_of(model, folder, output=folder))[1].written == 4
    assert run(plan_of(model, folder, output=folder))[1] == BatchSummary(skipped=4)


def test_what_fails_is_told_and_the_rest_goes_on(model: SegmentationModel, folder: Path) -> None:
    (folder / "broken.tif").write_text("no image")
    iio.imwrite(folder / "colour.png", noise(20, 20, 3))
    tifffile.imwrite(folder / "time" / "unclear.tif", noise(6, 20, 20), photometric="minisblack")
    tifffile.imwrite(folder / "time" / "huge.tif", np.array([[1, np.inf], [0, 2]], np.float32))
    os.truncate(folder / "b.tif", (folder / "b.tif").stat().st_size // 2)
    iio.imwrite(folder / "flat.png", np.full((20, 20), 9, np.uint8))
    done, summary = run(plan_of(model, folder))
    failed = {event.path.name: event.message for event in done if event.status == "failed"}
    assert sorted(failed) == ["b.tif", "broken.tif", "colour.png", "huge.tif", "unclear.tif"]
    for name, words in {
        "b.tif": "b.tif",
        "broken.tif": "broken.tif is not an image",
        "colour.png": "trained on 1 channel,",
        "huge.tif": "NaN or infinite",
        "unclear.tif": "name the axes",
    }.items():
        assert words in failed[name]
        assert "\n" not in failed[name]
        assert failed[name].endswith(".")
    assert (summary.written, summary.failed, summary.left, summary.reason) == (4, 5, 0, "")
    constant = next(event for event in done if event.path.name == "flat.png")
    assert (constant.status, constant.message.endswith("is constant: all of it is one class.")) == ("written", True)
    assert tree(folder.parent / "out") == [
        *("a_labels.tif", "flat_labels.tif", "time", "time/c_labels.tif", "time/late", "time/late/d_labels.tif")
    ]


def test_the_axes_can_be_told(model: SegmentationModel, folder: Path) -> None:
    tifffile.imwrite(folder / "time" / "unclear.tif", noise(6, 20, 20), photometric="minisblack")
    done, summary = run(plan_of(model, folder / "time", recursive=False, axes="ZYX"))
    assert summary == BatchSummary(written=2)
    assert open_image(done[1].output).axes == "ZYX"


def test_a_failed_file_leaves_no_folder_behind(model: SegmentationModel, folder: Path) -> None:
    (folder / "time" / "late" / "d.tif").write_text("no image")
    run(plan_of(model, folder))
    assert not (folder.parent / "out" / "time" / "late").exists()


def full_disk(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The disk is full in the middle of writing the label files of these names, or of all."""
    import napari_ufseg.batch.label_file as room

    def write(path: Path, labels: Any, **about: Any) -> None:
        def imwrite(temporary: Path, *args: Any, **options: Any) -> None:
            Path(temporary).write_bytes(b"half of it")
            raise FULL

        with pytest.MonkeyPatch.context() as patch:
            if not names or path.name in names:
                patch.setattr("tifffile.imwrite", imwrite)
            write_labels(path, labels, **about)

    monkeypatch.setattr(room, "write_labels", write)


def test_a_disk_that_is_full_for_one_file(
    model: SegmentationModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, "c_labels.tif")
    done, summary = run(plan_of(model, folder))
    out = folder.parent / "out"
    assert [event.status for event in done] == ["written", "written", "failed", "written"]
    assert done[2].message == f"Cannot write {out / 'time' / 'c_labels.tif'}: No space left on device."
    assert summary == BatchSummary(written=3, failed=1)
    assert tree(out) == ["a_labels.tif", "b_labels.tif", "time", "time/late", "time/late/d_labels.tif"]


def test_a_disk_that_stays_full_ends_the_batch_and_is_told_once(
    model: SegmentationModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: Any, **options: Any) -> None:
        raise FULL

    full_disk(monkeypatch)
    monkeypatch.setattr("napari_ufseg.batch.folder.tempfile.TemporaryFile", no_room)
    done, summary = run(plan_of(model, folder))
    assert [event.status for event in done] == ["failed"]
    assert summary == BatchSummary(failed=1, left=3, reason=done[0].message)
    assert "3 not done" in str(summary)
    assert not (folder.parent / "out").exists()


def test_a_full_disk_while_labels_wait_in_a_file(
    model: SegmentationModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ufseg.batch.label_file._IN_MEMORY", 400)

    class Full:
        def __setitem__(self, *_: Any) -> None:
            raise FULL

    def create(path: Path, shape: tuple[int, ...], **about: Any) -> Any:
        real = create_label_array(path, shape, about["chunks"])
        return Full() if len(shape) == 3 else real

    monkeypatch.setattr("napari_ufseg.batch.label_file.create_label_zarr", create)
    done, _ = run(plan_of(model, folder))
    assert [event.status for event in done] == ["written", "written", "failed", "written"]
    assert done[2].message.endswith("c_labels.tif: No space left on device.")
    assert [name for name in tree(folder.parent / "out") if ".ufseg" in name] == []
    np.testing.assert_array_equal(
        read_labels(done[0].output), predict(model, iio.imread(folder / "a.png"), device="cpu")
    )


def test_a_folder_below_a_file_is_told_before_anything_is_done(model: SegmentationModel, folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(FileError, match=r"notes\.txt is not a folder"):
        run(plan_of(model, folder, output=folder / "notes.txt" / "out"))
    assert contents(folder) == before


def test_an_output_folder_that_is_taken_away_ends_the_batch(model: SegmentationModel, folder: Path) -> None:
    out = folder.parent / "out"
    events = run_batch(plan_of(model, folder))
    first = next(event for event in events if isinstance(event, FileDone))
    first.output.unlink()
    out.rmdir()
    out.write_text("a file in its place")
    rest = [event for event in events if isinstance(event, FileDone)]
    assert [(event.status, "is not a folder" in event.message) for event in rest] == [("failed", True)]


def test_one_folder_in_the_way(model: SegmentationModel, folder: Path) -> None:
    out = folder.parent / "out"
    out.mkdir()
    (out / "time").write_text("mine")
    done, summary = run(plan_of(model, folder))
    assert [event.status for event in done] == ["written", "written", "failed", "failed"]
    assert "is not a folder" in done[3].message
    assert summary == BatchSummary(written=2, failed=2)
    assert (out / "time").read_text() == "mine"


def test_no_permission(model: SegmentationModel, folder: Path) -> None:
    out = folder.parent / "out"
    (out / "time").mkdir(parents=True)
    (out / "time").chmod(0o500)
    if os.access(out / "time", os.W_OK):
        pytest.skip("root may write everywhere")
    done, _ = run(plan_of(model, folder))
    assert [event.status for event in done] == ["written", "written", "failed", "failed"]
    assert "permission" in done[2].message
    out.chmod(0o500)
    with pytest.raises(FileError, match="no permission"):
        run(plan_of(model, folder))


def test_skip_or_overwrite(model: SegmentationModel, folder: Path) -> None:
    out = folder.parent / "out"
    run(plan_of(model, folder))
    right = (out / "a_labels.tif").read_bytes()
    write_labels(out / "a_labels.tif", np.full((4, 4), 7))  # corrected by hand
    (out / "b_labels.tif").unlink()
    before = contents(out)
    done, _ = run(plan_of(model, folder))
    assert [event.status for event in done] == ["skipped", "written", "skipped", "skipped"]
    assert before.items() <= contents(out).items()
    done, summary = run(plan_of(model, folder, existing="overwrite"))
    assert summary == BatchSummary(written=4)
    assert (out / "a_labels.tif").read_bytes() == right


def test_what_is_no_label_file_is_not_skipped(model: SegmentationModel, folder: Path) -> None:
    out = folder.parent / "out"
    (out / "a_labels.tif").mkdir(parents=True)
    done, _ = run(plan_of(model, folder))
    assert (done[0].status, "it is a folder" in done[0].message) == ("failed", True)
    (out / "b_labels.ome.zarr").mkdir()
    (out / "b_labels.ome.zarr" / "mine.txt").write_text("mine")
    done, _ = run(plan_of(model, folder, format="ome.zarr"))
    assert [event.status for event in done] == ["written", "failed", "written", "written"]
    assert tree(out / "b_labels.ome.zarr") == ["mine.txt"]


def test_a_file_that_holds_no_labels_is_told_and_not_taken_for_them(model: SegmentationModel, folder: Path) -> None:
    junk = folder.parent / "out" / "a_labels.tif"
    junk.parent.mkdir()
    junk.write_text("no labels")
    done, _ = run(plan_of(model, folder))
    assert [event.status for event in done] == ["failed", "written", "written", "written"]
    assert "holds no labels" in done[0].message
    assert junk.read_text() == "no labels"
    assert run(plan_of(model, folder, existing="overwrite"))[1] == BatchSummary(written=4)


def test_labels_of_any_name_are_no_images(model: SegmentationModel, folder: Path) -> None:
    labels = np.ones((9, 9), np.uint16)
    write_labels(folder / "mine.tif", labels)
    write_labels(folder / "mine.ome.tif", labels)
    write_labels(folder / "mine.zarr", labels)
    assert run(plan_of(model, folder))[1] == BatchSummary(written=4)


@pytest.mark.parametrize("axes", ["ZZYX", "TZ", "ABYX"])
def test_axes_of_no_image_are_told_once_and_before_all(model: SegmentationModel, folder: Path, axes: str) -> None:
    with pytest.raises(ImageError, match="The axes"):
        plan_of(model, folder, axes=axes)


def test_a_folder_that_may_not_be_read_is_told_and_the_rest_goes_on(
    model: SegmentationModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.access
    locked = [folder / "time", folder / "b.tif"]
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in locked and allowed(path, mode))
    done, summary = run(plan_of(model, folder))
    assert {event.path.name: event.message for event in done if event.status == "failed"} == {
        path.name: f"Cannot read {path}: permission denied." for path in locked
    }
    assert summary.written == 1


def test_a_labels_file_keeps_what_it_was_if_its_image_fails(model: SegmentationModel, folder: Path) -> None:
    run(plan_of(model, folder))
    out = folder.parent / "out"
    before = (out / "b_labels.tif").read_bytes()
    (folder / "b.tif").write_text("no image")
    done, _ = run(plan_of(model, folder, existing="overwrite"))
    assert done[1].status == "failed"
    assert (out / "b_labels.tif").read_bytes() == before


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Three images, each of several tiles (of 512 pixels)."""
    place = tmp_path / "large"
    place.mkdir()
    for number in range(3):
        tifffile.imwrite(place / f"{number}.tif", noise(40, 2100, seed=number))
    return place


def until_second(events: Any) -> FileProgress:
    """Go on until the second image is under way."""
    return next(e for e in events if isinstance(e, FileProgress) and e.number == 2 and 0 < e.share < 1)


@pytest.mark.parametrize("kind", ["tif", "ome.zarr", "large tif"])
def test_cancel_and_resume(model: SegmentationModel, large: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "large tif":
        monkeypatch.setattr("napari_ufseg.batch.label_file._IN_MEMORY", 400)
    ending = "ome.zarr" if kind == "ome.zarr" else "tif"
    plan = plan_of(model, large, format=ending)
    out = large.parent / "out"
    events = run_batch(plan)
    progress = until_second(events)
    assert (progress.path, progress.total) == (large / "1.tif", 3)
    events.close()
    assert [path.name for path in out.iterdir()] == [f"0_labels.{ending}"]
    before = contents(out)
    done, summary = run(plan)
    assert [event.status for event in done] == ["skipped", "written", "written"]
    assert summary == BatchSummary(written=2, skipped=1)
    assert before.items() <= contents(out).items()
    fresh = run(replace(plan, output=large.parent / "fresh"))[0]
    for one, other in zip(done, fresh, strict=True):
        np.testing.assert_array_equal(read_labels(one.output), read_labels(other.output))


def test_cancel_by_a_callable(model: SegmentationModel, large: Path) -> None:
    seen: list[FileProgress | FileDone] = []

    def wanted() -> bool:
        return len(seen) >= 7

    events = run_batch(plan_of(model, large), stopped=wanted)
    summary = None
    while summary is None:
        try:
            seen.append(next(events))
        except StopIteration as end:
            summary = end.value
    assert summary == BatchSummary(written=1, left=2)
    assert tree(large.parent / "out") == ["0_labels.tif"]


def test_cancel_while_the_brightness_is_learnt(model: SegmentationModel, large: Path) -> None:
    asked = []

    def wanted() -> bool:
        asked.append(1)
        return len(asked) > 3

    done, summary = run(plan_of(model, large), stopped=wanted)
    assert (done, summary) == ([], BatchSummary(left=3))
    assert not (large.parent / "out").exists()


def test_the_share_grows_from_0_to_1(model: SegmentationModel, large: Path) -> None:
    shares = [e.share for e in run_batch(plan_of(model, large)) if isinstance(e, FileProgress) and e.number == 1]
    assert (shares[0], shares[-1], len(shares)) == (0, 1, 6)
    assert shares == sorted(shares)


def test_names_never_collide(model: SegmentationModel, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name in ("a.png", "A.tif", "a.ome.tif", "x/b.tif", "X/b.tif", "x/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(folder / name, noise(10, 10))
    outputs = [str(output).casefold() for _, output in files_of(plan_of(model, folder))]
    assert len(set(outputs)) == len(outputs) == len(list(folder.rglob("*.*")))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_an_image_is_not_overwritten_by_way_of_a_link(model: SegmentationModel, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "a_labels.tif", noise(10, 10))
    (folder / "b.tif").symlink_to(folder / "a_labels.tif")
    tifffile.imwrite(folder / "a.tif", noise(10, 10, seed=1))
    before = contents(folder)
    done, _ = run(plan_of(model, folder, output=folder, existing="overwrite"))
    assert [event.status for event in done] == ["failed", "written"]
    assert "it is the image" in done[0].message
    assert before.items() <= contents(folder).items()


def within_an_image(folder: Path) -> dict[str, Any]:
    zarr.save_array(folder / "e.zarr", noise(30, 30))
    return {"output": folder / "e.zarr" / "out"}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (lambda folder: {"folder": folder / "none"}, FileError, "no file or folder"),
        (lambda folder: {"folder": folder / "a.png"}, FileError, "no folder of images"),
        (lambda folder: {"folder": folder / "empty"}, FileError, "holds no image"),
        (lambda folder: {"device": "tpu"}, DeviceError, "no device 'tpu'"),
        (within_an_image, FileError, "lies within the image"),
    ],
)
def test_what_is_wrong_with_all_is_told_first(
    model: SegmentationModel,
    folder: Path,
    options: Callable[[Path], dict[str, Any]],
    kind: type[UfsegError],
    words: str,
) -> None:
    (folder / "empty").mkdir()
    plan = replace(plan_of(model, folder), **options(folder))
    before = contents(folder)
    with pytest.raises(kind, match=words):
        run(plan)
    assert contents(folder) == before
    assert not (folder.parent / "out").exists()


def test_words_that_are_not_known(model: SegmentationModel, folder: Path) -> None:
    with pytest.raises(ConfigError, match="existing is 'ask', but must be one of skip, overwrite"):
        plan_of(model, folder, existing="ask")
    with pytest.raises(ConfigError, match=r"format is 'bmp', but must be one of tif, ome\.zarr"):
        plan_of(model, folder, format="bmp")


@pytest.mark.parametrize("lost", ["the folder", "a chunk"])
def test_a_zarr_that_goes_in_mid_run_fails_and_its_old_labels_stay(
    lost: str, model: SegmentationModel, tmp_path: Path
) -> None:
    place, away = tmp_path / "in" / "a.zarr", tmp_path / "away"
    zarr.create_array(place, data=noise(6, 40, 40), chunks=(1, 40, 40))
    plan = plan_of(model, tmp_path / "in", axes="TYX", existing="overwrite", format="ome.zarr")
    assert run(plan)[0][0].status == "written"
    before = {path: path.read_bytes() for path in plan.output.rglob("*") if path.is_file()}
    events = run_batch(plan)
    while not (isinstance(event := next(events), FileProgress) and event.share > 0):
        pass
    place.rename(away) if lost == "the folder" else (place / "c" / "5" / "0" / "0").unlink()
    *_, done = events
    assert isinstance(done, FileDone)
    assert done.status == "failed"
    assert ("has gone while" if lost == "the folder" else "has lost 1 of its chunks") in done.message
    assert {path: path.read_bytes() for path in plan.output.rglob("*") if path.is_file()} == before


def test_missing_chunks_are_told_of_each_image(model: SegmentationModel, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in" / "a.zarr", data=noise(6, 40, 40), chunks=(1, 40, 40))
    (tmp_path / "in" / "a.zarr" / "c" / "5" / "0" / "0").unlink()
    (done,), _ = run(plan_of(model, tmp_path / "in", axes="TYX"))
    assert done.status == "written"
    assert "1 of 6 chunks is missing" in done.message

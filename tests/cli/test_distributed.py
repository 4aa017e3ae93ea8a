"""``ufseg predict --scheduler`` with a real scheduler and real workers on this machine."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
import zarr

from napari_ufseg import load_model, predict, save_model
from napari_ufseg._version import __version__
from napari_ufseg.batch import cluster as batch_cluster
from napari_ufseg.batch.label_file import open_input
from napari_ufseg.batch.tile_tasks import TilePlan
from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.prediction.labelling import learn_intensity
from napari_ufseg.engine.prediction.tile_pool import tiles_of
from napari_ufseg.io import create_label_array, read_image, read_labels

from .conftest import Done, environment, process
from .test_process import Terminal, posix

pytest.importorskip("distributed")

Ufseg = Callable[..., Done]
DASK = ("-m", "distributed.cli.dask_worker")
ODD = (
    "import napari_ufseg._version as version; version.__version__ = '0.0.0'\n"
    "from distributed.cli.dask_worker import main; main()"
)


class Cluster:
    """A scheduler and its workers, all of them processes that end with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        file = self.folder / "scheduler.json"
        self.start("-m", "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file))
        self.address = str(eventually(lambda: json.loads(file.read_text())["address"]))
        return self

    def __exit__(self, *error: object) -> None:
        for started in self.processes:
            started.kill()
        for started in self.processes:
            started.wait()

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *words, "--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / f"{len(self.processes)}.log").open("w") as log:
            self.processes.append(
                subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=log, stderr=subprocess.STDOUT)
            )
        return self.processes[-1]

    def start_worker(self, *words: str) -> None:
        flags = [self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder)]
        self.workers.append(self.start(*(words or DASK), *flags))

    def wait_for_workers(self, number: int) -> None:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(number, timeout=60)


def eventually(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What `look` returns, once it returns something."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
        except (OSError, ValueError):  # a file that is not there, or not whole
            pass
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        for _ in range(3):
            cluster.start_worker()
        cluster.wait_for_workers(3)
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that were never trained, and images of noise."""
    folder = tmp_path_factory.mktemp("data")
    for name, options in {
        "planes": {"n_features": 8, "denoise": 0.5, "local_contrast": 2.0, "local_contrast_size": 8.0},
        "volume": {"n_features": 4, "spatial_dims": 3, "scaling": "percentile"},
    }.items():
        config = SegmentationConfig(n_classes=12, **options)
        torch.manual_seed(0)
        model = SegmentationModel(FeatureNet.of_config(config, 1).eval(), config, 1)
        save_model(model, folder / f"{name}.safetensors")
    random = np.random.default_rng(0)
    write_zarr(folder / "stack.zarr", random.integers(0, 200, (20, 300, 520), np.uint8))
    write_zarr(folder / "long.zarr", random.integers(0, 200, (200, 300, 520), np.uint8))
    write_zarr(folder / "deep.zarr", random.integers(0, 60000, (70, 80, 100), np.uint16))
    strange = random.random((2, 300, 300), np.float32)
    strange[1, 5, 6:9] = np.nan
    write_zarr(folder / "strange.zarr", strange)
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", random.integers(0, 200, (40, 60), np.uint8))
    return folder


def write_zarr(path: Path, image: npt.NDArray[Any]) -> None:
    zarr.create_array(path, data=image, chunks=(1, 128, 128))


@pytest.fixture(scope="module")
def expected(data: Path) -> npt.NDArray[np.uint16]:
    """The labels of the stack, computed in this process."""
    labels: npt.NDArray[np.uint16] = predict(
        load_model(data / "planes.safetensors"), read_image(data / "stack.zarr"), axes="TYX", device="cpu"
    )
    assert len(np.unique(labels)) > 2
    return labels


def stack_job(data: Path, out: Path, image: str = "stack.zarr") -> list[str | Path]:
    return ["predict", data / "planes.safetensors", data / image, "--axes", "TYX", "-o", out]


def n_chunks(folder: Path) -> int:
    return len(list(folder.glob(".ufseg-*/0/*/*/*")))


def test_a_stack_is_labelled_as_in_one_process(
    cluster: Cluster, data: Path, expected: npt.NDArray[np.uint16], tmp_path: Path, ufseg: Ufseg
) -> None:
    out = tmp_path / "labels.ome.zarr"
    done = ufseg(*stack_job(data, out), "--scheduler", cluster.address)
    assert done == Done(0, f"{out}\n", "")
    np.testing.assert_array_equal(read_labelled(out), expected)


def test_a_worker_is_killed_and_the_labels_are_the_same(
    cluster: Cluster, data: Path, expected: npt.NDArray[np.uint16], tmp_path: Path
) -> None:
    out = tmp_path / "labels.ome.zarr"
    command = [sys.executable, "-m", "napari_ufseg", *map(str, stack_job(data, out)), "--scheduler", cluster.address]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(), **pipes) as job:
        try:
            eventually(lambda: n_chunks(tmp_path) >= 3)
            cluster.workers[0].kill()
            assert n_chunks(tmp_path) < expected.shape[0]  # there was more to do
            printed, errors = job.communicate(timeout=60)
        finally:
            job.kill()
    assert (job.returncode, printed, errors) == (0, f"{out}\n", "")
    np.testing.assert_array_equal(read_labelled(out), expected)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert not list(out.rglob("*.partial"))
    assert cluster.workers[0].wait() == -signal.SIGKILL


def test_few_summaries_meet_here_and_their_brightness_is_that_of_one_pass(
    cluster: Cluster, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cluster, "_MOST_SUMMARIES", 3)
    model = load_model(data / "planes.safetensors")
    image = open_input(data / "stack.zarr", 2, axes="TYX")
    labels = create_label_array(tmp_path / "labels.zarr", image.source.labels_shape, (1, 512, 512))
    plan = TilePlan.of(model, image.source, image.path, labels, "cpu")
    brightness = []

    def learning(there: batch_cluster.Cluster) -> Iterator[Any]:
        brightness.append((yield from there.learn_intensity(plan, image.source)))

    with batch_cluster.Cluster(cluster.address) as there:
        seen = [progress.pixels for progress in learning(there)]
    assert brightness == [learn_intensity(image.source, model.config)]
    assert len(tiles_of([image.source])) == 40
    assert (len(seen), seen[-1]) == (3, image.source.n_pixels)


def read_labelled(path: Path) -> Any:
    return zarr.open_array(path / "0", mode="r")[...]


def test_workers_read_the_level_that_was_asked_for(cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg) -> None:
    random = np.random.default_rng(1)
    levels = [random.integers(0, 200, shape, np.uint8) for shape in ((80, 120), (40, 60))]
    group = zarr.create_group(tmp_path / "pyramid.zarr")
    for number, level in enumerate(levels):
        group.create_array(str(number), data=level, chunks=(32, 32))
    paths = [{"path": str(number)} for number in (0, 1)]
    group.attrs.put({"multiscales": [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": paths}]})
    job = ["predict", data / "planes.safetensors", tmp_path / "pyramid.zarr", "--level", "1"]
    out = tmp_path / "labels.ome.zarr"
    assert ufseg(*job, "-o", out, "--scheduler", cluster.address) == Done(0, f"{out}\n", "")
    alone = predict(load_model(data / "planes.safetensors"), levels[1], device="cpu")
    np.testing.assert_array_equal(read_labelled(out), alone)


def test_a_volume_scaled_by_percentiles_is_labelled_as_on_local_threads(
    cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg
) -> None:
    job = ["predict", data / "volume.safetensors", data / "deep.zarr", "--axes", "ZYX", "-o"]
    far = process(*job, tmp_path / "far.ome.zarr", "--scheduler", cluster.address)
    near = ufseg(*job, tmp_path / "near.ome.zarr")
    assert (far.status, far.err, near.status, near.err) == (0, "", 0, "")
    labels = read_image(tmp_path / "far.ome.zarr")
    assert len(np.unique(labels)) > 2
    np.testing.assert_array_equal(labels, read_image(tmp_path / "near.ome.zarr"))


def test_several_images_one_after_the_other(cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg) -> None:
    done = ufseg(
        *("predict", data / "planes.safetensors", data / "a.tif", data / "b.tif"),
        *("-o", f"{tmp_path}/", "--scheduler", cluster.address),
    )
    assert (done.status, done.err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_labels.tif", "b_labels.tif"]
    for name in "ab":
        alone = predict(load_model(data / "planes.safetensors"), read_image(data / f"{name}.tif"), device="cpu")
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}_labels.tif"), alone)


@posix
def test_ctrl_c_ends_the_work_and_leaves_nothing(cluster: Cluster, data: Path, tmp_path: Path) -> None:
    job = stack_job(data, tmp_path / "labels.ome.zarr", "long.zarr")  # there must be more to do when the bar is seen
    with Terminal(*job, "--scheduler", cluster.address) as run:
        run.wait_for(r"labels.ome.zarr \|[^|]*\| +[1-9]\d? %")
        run.process.send_signal(signal.SIGINT)
        done = run.finish()
    assert done.status == 130
    assert done.err.endswith("ufseg: stopped by Ctrl-C before there was anything to write.\r\n")
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_image_is_told_as_by_a_local_run(
    cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg
) -> None:
    job = [
        "predict",
        data / "planes.safetensors",
        data / "strange.zarr",
        "-o",
        tmp_path / "l.ome.zarr",
        "--axes",
        "TYX",
    ]
    near, far = ufseg(*job), ufseg(*job, "--scheduler", cluster.address)
    assert near == far == Done(2, "", near.err)
    assert "strange.zarr has 3 values that are NaN or infinite" in near.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="a path that means another place to each process")
def test_workers_that_do_not_share_the_files_are_named(
    cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    here = Path("/proc/self/cwd")
    for image, out, words in (
        (here / "stack.zarr", tmp_path, f"cannot read {here}/stack.zarr: all workers must share its folder."),
        (data / "stack.zarr", here, f"cannot write in {here}: all workers must share it."),
    ):
        job = ["predict", data / "planes.safetensors", image, "-o", out / "l.ome.zarr", "--axes", "TYX"]
        done = ufseg(*job, "--scheduler", cluster.address)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith("ufseg: A worker on ")
        assert words in done.err
    assert not list(data.glob(".ufseg-*")) + list(tmp_path.iterdir())


def test_a_conversion_of_channels_does_not_go_with_a_scheduler(
    cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg
) -> None:
    colour = np.random.default_rng(0).integers(0, 200, (40, 60, 3), np.uint8)
    tifffile.imwrite(tmp_path / "colour.tif", colour)
    done = ufseg(
        *("predict", data / "planes.safetensors", tmp_path / "colour.tif", "-o", tmp_path / "l.tif"),
        *("--n_channels", "1", "--scheduler", cluster.address),
    )
    words = "ufseg: --n_channels converts a whole image in memory, which cannot go with --scheduler.\n"
    assert done == Done(2, "", words)


def test_no_scheduler_and_no_package(data: Path, tmp_path: Path, ufseg: Ufseg, monkeypatch: pytest.MonkeyPatch) -> None:
    job = stack_job(data, tmp_path / "labels.ome.zarr")
    nobody = ufseg(*job, "--scheduler", "tcp://127.0.0.1:9")
    assert nobody == Done(
        2,
        "",
        "ufseg: There is no scheduler of dask at tcp://127.0.0.1:9 that answers: start one with `dask scheduler`.\n",
    )
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "distributed", None)  # as if it were not installed
        missing = ufseg(*job, "--scheduler", "tcp://127.0.0.1:9")
    words = 'ufseg: Work on a cluster needs dask.distributed: python -m pip install "napari-ufseg[distributed]".\n'
    assert missing == Done(2, "", words)


def test_a_scheduler_without_workers(
    data: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, ufseg: Ufseg
) -> None:
    with Cluster(tmp_path_factory.mktemp("empty")) as empty:
        done = ufseg(*stack_job(data, tmp_path / "labels.ome.zarr"), "--scheduler", empty.address)
    words = f"The scheduler {empty.address} has no workers: start some with `dask worker {empty.address} --nthreads 1`."
    assert done == Done(2, "", f"ufseg: {words}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_another_version_is_told(cluster: Cluster, data: Path, tmp_path: Path, ufseg: Ufseg) -> None:
    n_workers = sum(worker.poll() is None for worker in cluster.workers)
    cluster.start_worker("-c", ODD)
    try:
        cluster.wait_for_workers(n_workers + 1)
        job = ["predict", data / "planes.safetensors", data / "a.tif", "-o", tmp_path / "labels.tif"]
        done = ufseg(*job, "--scheduler", cluster.address)
    finally:
        cluster.workers.pop().kill()
    assert done.status == 0
    assert done.err.startswith("ufseg: warning: The worker tcp://127.0.0.1:")
    assert done.err.endswith(f" has napari-ufseg 0.0.0, not {__version__}: labels may differ.\n")
    assert done.err.count("\n") == 1

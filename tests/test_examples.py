"""Every example runs from start to end, is short, needs no network and writes only where it stands."""

import runpy
import socket
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "segment_an_array": ["(56, 72) uint8 -> labels (56, 72) uint16", "written: coins_labels.tif"],
    "stream_snapshots": ["epoch  1 of 40: 16 classes", "done ("],
    "train_once_predict_many": ["repeats the labels of the training images: True", "unseen image 2: (48, 64)"],
    "scribbles": ["without strokes", "with strokes: 100% of the coin stroke is class 2, 100% of the other is class 1"],
}
WRITES = {"segment_an_array": ["coins_labels.tif"], "train_once_predict_many": ["coins.safetensors"]}


def test_every_example_is_listed_here():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_and_shows_what_it_promises(name, tmp_path, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise AssertionError("an example went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    path = EXAMPLES / f"{name}.py"
    assert len(path.read_text().splitlines()) < 40
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    for words in SAYS[name]:
        assert words in printed
    assert [item.name for item in tmp_path.iterdir()] == WRITES.get(name, [])

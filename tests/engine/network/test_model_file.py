import json
import math
import os
import pickle
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from skimage import io

from napari_ufseg import load_model, predict, save_model, segment
from napari_ufseg.engine.errors import FileError, ModelFileError

anything = st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.integers() | st.floats(), max_size=6)


@pytest.fixture
def model(coins, quick):
    return segment(coins, quick(), device="cpu").model


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(model, path)
    return path


def refusal(path):
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert message.endswith(".")
    return message


def parts(path):
    with safe_open(path, "pt") as handle:
        return dict(handle.metadata()), {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118


# -- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grey", "colour", "several", "percentile and three blocks"])
def test_a_model_survives_the_file(kind, coins, tissue, others, quick, tmp_path):
    image, changes = {
        "grey": (coins, {}),
        "colour": (tissue, {}),
        "several": ([coins, *others], {}),
        "percentile and three blocks": (coins, {"scaling": "percentile", "n_convolutions": 3}),
    }[kind]
    result = segment(image, quick(**changes), device="cpu")
    save_model(result.model, tmp_path / "m")
    again = load_model(str(tmp_path / "m"))
    assert again.config == result.model.config
    assert again.n_channels == result.model.n_channels
    assert again.class_labels == result.model.class_labels
    assert not again.network.training
    states = result.model.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    shown = result.labels if isinstance(result.labels, list) else [result.labels]
    predicted = predict(again, image if isinstance(image, list) else [image], device="cpu")
    assert all(np.array_equal(a, b) for a, b in zip(shown, predicted, strict=True))


def test_merged_labels_survive(model, coins, tmp_path):
    merged = model.merged({1: 6, 2: 6, 3: 5})
    save_model(merged, tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.class_labels == (6, 6, 5, 4, 5, 6)
    assert np.array_equal(predict(again, coins, device="cpu"), predict(merged, coins, device="cpu"))


def test_the_file_holds_numbers_and_text_alone(saved):
    header, tensors = parts(saved)
    assert header["format"] == "napari-ufseg model 1"
    assert json.loads(header["config"])["n_features"] == 6
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())


def test_others_may_read_the_file_as_far_as_the_umask_allows(saved):
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o666 & ~mask


def test_a_new_folder_is_made_and_an_old_file_replaced(model, saved, tmp_path):
    before = saved.read_bytes()
    save_model(model.merged({1: 2}), saved)
    assert saved.read_bytes() != before
    save_model(model, tmp_path / "a" / "b" / "model.safetensors")
    assert load_model(tmp_path / "a" / "b" / "model.safetensors").n_channels == 1


# -- saving that fails --------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file(model, saved, monkeypatch):
    before = saved.read_bytes()
    write = Path.write_bytes

    def half(self, content):
        write(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(FileError, match=r"^Cannot write .*model.safetensors: No space left on device\.$"):
        save_model(model.merged({1: 2}), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_folder_of_that_name_stays(model, tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "precious").write_text("x")
    with pytest.raises(FileError, match=r"^Cannot write "):
        save_model(model, target)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "precious"]


def test_a_file_where_a_folder_should_be_is_named(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match=r"^Cannot write "):
        save_model(model, tmp_path / "file" / "model")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_named(model, saved):
    before = saved.read_bytes()
    saved.parent.chmod(0o555)
    try:
        with pytest.raises(FileError, match="Permission denied"):
            save_model(model.merged({1: 2}), saved)
    finally:
        saved.parent.chmod(0o755)
    assert saved.read_bytes() == before


def test_a_refused_file_is_named(model, saved, monkeypatch):
    """What a read-only folder does, also where the tests run as the superuser."""

    def refuse(self, content):
        raise PermissionError(13, "Permission denied")

    before = saved.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(FileError, match=r"^Cannot write .*: Permission denied\.$"):
        save_model(model, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("name", ["", ".", "x" * 300])
def test_names_that_are_none_are_refused(model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match=r"^Cannot write "):
        save_model(model, name)
    assert not list(tmp_path.iterdir())


# -- loading what is none -----------------------------------------------------------------------


def test_what_is_no_file_is_refused(tmp_path):
    assert refusal(tmp_path / "missing") == f"There is no model file {tmp_path / 'missing'}."
    assert refusal(tmp_path) == f"There is no model file {tmp_path}."
    assert "no model file" in refusal(tmp_path / ("x" * 300))


@pytest.mark.parametrize("kind", ["empty", "png", "random", "text", "zip"])
def test_other_kinds_of_files_are_refused(kind, tmp_path):
    path = tmp_path / kind
    if kind == "png":
        path = tmp_path / "image.png"
        io.imsave(path, np.arange(64, dtype=np.uint8).reshape(8, 8), check_contrast=False)
    else:
        content = {
            "empty": b"",
            "random": np.random.default_rng(0).bytes(5000),
            "text": b"hello " * 50,
            "zip": b"PK\x03\x04" * 40,
        }
        path.write_bytes(content[kind])
    assert "is not a model of napari-ufseg" in refusal(path)


class Bomb:
    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_nothing_in_a_file_is_ever_executed(write, tmp_path):
    proof, path = tmp_path / "executed", tmp_path / "model.pt"
    if write == "pickle":
        path.write_bytes(pickle.dumps({"weights": Bomb(proof)}))
    else:
        torch.save({"weights": torch.zeros(3), "config": Bomb(proof)}, path)
    assert "is not a model of napari-ufseg" in refusal(path)
    assert not proof.exists()
    if write == "pickle":  # the bomb is a live one
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert proof.exists()


def test_safetensors_of_something_else_are_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert "format None" in refusal(tmp_path / "other.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "newer.safetensors", metadata={"format": "napari-ufseg model 2"})
    assert "format 'napari-ufseg model 2', not 'napari-ufseg model 1'" in refusal(tmp_path / "newer.safetensors")


def test_a_file_that_was_cut_off_is_refused_wherever_it_was_cut(saved, tmp_path):
    content = saved.read_bytes()
    for share in (0.001, 0.1, 0.5, 0.9):
        cut = tmp_path / "cut"
        cut.write_bytes(content[: int(len(content) * share)])
        assert "damaged" in refusal(cut)
    cut.write_bytes(content[:-1])
    assert "damaged" in refusal(cut)
    cut.write_bytes(content + b"more")
    assert "damaged" in refusal(cut)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", None),
        ("config", "not json"),
        ("config", "[]"),
        ("config", '"words"'),
        ("config", "null"),
        ("config", "[" * 100_000),
        ("config", '{"n_features": 7, "n_classes": 6}'),
        ("config", '{"n_features": 6, "n_classes": 6, "n_convolutions": 3}'),
        ("config", '{"n_features": 0}'),
        ("config", '{"surprise": 1}'),
        ("n_channels", None),
        ("n_channels", "2"),
        ("n_channels", "0"),
        ("n_channels", "-1"),
        ("n_channels", "1000000000000"),
        ("n_channels", "one"),
        ("class_labels", None),
        ("class_labels", "[1, 2]"),
        ("class_labels", "7"),
        ("class_labels", '["a", "b", "c", "d", "e", "f"]'),
        ("class_labels", "[1, 2, 3, 4, 5, 70000]"),
        ("class_labels", "[1, 2, 3, 4, 5, -1]"),
    ],
)
def test_headers_that_do_not_fit_the_weights_are_refused(saved, tmp_path, key, value, recorded):
    header, tensors = parts(saved)
    header = {name: text for name, text in (header | {key: value}).items() if text is not None}
    save_file(tensors, tmp_path / "bad", metadata=header)
    message, caught = recorded(refusal, tmp_path / "bad")
    assert "damaged model of napari-ufseg: its header and its weights do not fit" in message
    assert not caught


@pytest.mark.parametrize("change", ["missing", "extra", "wrong shape"])
def test_weights_that_do_not_fit_the_header_are_refused(saved, tmp_path, change):
    header, tensors = parts(saved)
    name = next(iter(tensors))
    if change == "missing":
        del tensors[name]
    else:
        tensors["extra" if change == "extra" else name] = torch.zeros(2)
    save_file(tensors, tmp_path / "bad", metadata=header)
    assert "damaged" in refusal(tmp_path / "bad")


# -- numbers that no model can have ---------------------------------------------------------------


ODD = [math.inf, -math.inf, math.nan, 10**30, -1, 2.5, 2**16, True, "1", None, [1]]
DAMAGED = "is a damaged model of napari-ufseg: its header and its weights do not fit."


def resave(path, header, tensors):
    save_file(tensors, path, metadata=header)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_labels_that_no_model_can_have_are_damage(saved, odd):
    header, tensors = parts(saved)
    resave(saved, {**header, "class_labels": json.dumps([odd, 2, 3, 4, 5, 6])}, tensors)
    assert DAMAGED in refusal(saved)


@pytest.mark.parametrize("key", ["areas", "merges", "suggested", "brightness"])
@pytest.mark.parametrize("odd", [math.inf, math.nan, 10**30, -1, True, None], ids=repr)
def test_a_tree_that_no_model_can_have_is_damage(saved, key, odd):
    if key == "brightness" and odd in (10**30, -1):
        return  # those are real numbers
    header, tensors = parts(saved)
    tree = json.loads(header["hierarchy"])
    tree[key] = odd if key == "suggested" else [[pair[0], odd] for pair in tree[key]]
    resave(saved, {**header, "hierarchy": json.dumps(tree)}, tensors)
    assert DAMAGED in refusal(saved)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["all", "first", "last", "one weight"])
def test_weights_that_are_not_finite_are_damage(saved, value, place):
    header, tensors = parts(saved)
    real = [name for name, weights in tensors.items() if weights.is_floating_point()]
    for name in {"all": real, "first": real[:1], "last": real[-1:], "one weight": []}[place]:
        tensors[name] = torch.full_like(tensors[name], value)
    if place == "one weight":
        tensors[real[0]].view(-1)[-1] = value
    resave(saved, header, tensors)
    assert "are not finite" in refusal(saved)


def test_a_negative_variance_is_damage(saved):
    header, tensors = parts(saved)
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name].view(-1)[0] = -1
    resave(saved, header, tensors)
    assert f"the weights {name} are not finite, or below 0" in refusal(saved)


@given(
    st.sampled_from(["config", "n_channels", "class_labels", "hierarchy"]),
    st.text(max_size=20) | anything.map(json.dumps),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_whatever_a_header_tells_is_one_sentence(saved, key, text):
    header, tensors = parts(saved)
    other = saved.with_name("other")
    resave(other, {**header, key: text}, tensors)
    with suppress(ModelFileError) as _:
        load_model(other)


@pytest.mark.parametrize(
    "changes", [{"n_features": 512}, {"n_classes": 512}, {"n_convolutions": 9}, {"spatial_dims": 3}], ids=str
)
def test_a_network_that_is_only_claimed_is_not_built(saved, changes, monkeypatch):
    header, tensors = parts(saved)
    config = {**json.loads(header["config"]), **changes}
    resave(saved, {**header, "config": json.dumps(config)}, tensors)
    built = []
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *arguments: built.append(arguments))
    refusal(saved)
    assert not built


@pytest.mark.parametrize("name", ["model", "x" * 240])
def test_a_model_that_may_not_be_read_says_why(saved, monkeypatch, name):
    place = saved.rename(saved.with_name(name))
    real = Path.open

    def refused(self, *arguments, **options):
        if self == place:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)
    assert refusal(place) == f"Cannot read the model {place}: Permission denied."

import dataclasses
import json
import math
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

from napari_ufseg.engine.config import DEFAULT_PRESET, PRESETS, Option, SegmentationConfig, option_of, options
from napari_ufseg.engine.errors import ConfigError, UfsegError

FIELDS = {item.name: item.default for item in dataclasses.fields(SegmentationConfig)}
WHOLE = [name for name, default in FIELDS.items() if type(default) is int]
REAL = [name for name, default in FIELDS.items() if type(default) is float]
SWITCHES = [name for name, default in FIELDS.items() if type(default) is bool]
WORDS = [name for name, default in FIELDS.items() if type(default) is str]

GENERALISED = {
    "n_features": 100, "n_classes": 100, "min_classes": 3, "n_convolutions": 2, "batch_size": 16,
    "learning_rate": 0.1, "momentum": 0.4, "epochs": 50, "mu": 2, "nu": 2, "nu_x": 1, "nu_y": 1, "M": 1, "m": 1,
}  # fmt: skip
PAPER = GENERALISED | {"momentum": 0.9, "epochs": 1000, "mu": 1, "nu": 5, "M": 0, "m": 0}


def assert_refused(name, value):
    with pytest.raises(ConfigError) as caught:
        SegmentationConfig(**{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is {value!r}, but must be ")
    assert message.endswith(option_of(name).allowed + ".")


def test_every_field_says_what_it_is():
    assert list(options()) == list(FIELDS)
    assert len(WHOLE) + len(REAL) + len(WORDS) + len(SWITCHES) == len(FIELDS)
    for option in options().values():
        assert isinstance(option, Option)
        assert option.label
        assert option.group
        assert "\n" not in option.help
        assert option.help.endswith(".")
        assert 20 < len(option.help) < 130
    for name in WHOLE + REAL:
        option = option_of(name)
        assert option.minimum <= FIELDS[name] <= option.maximum
        assert 0 < option.step <= option.maximum - option.minimum
        assert not option.choices
        assert all(word in option.allowed for word in ("from", "to"))
    for name in WORDS:
        assert FIELDS[name] in option_of(name).choices
    for name in SWITCHES:
        assert option_of(name).is_switch
        assert option_of(name).allowed == "on or off"
    assert len({option.label for option in options().values()}) == len(FIELDS)


def test_numeric_help_says_what_a_larger_value_does():
    comparison = re.compile(r"larger|more|keep", re.IGNORECASE)
    for name in [*WHOLE, *REAL]:
        if name != "seed":
            assert comparison.search(option_of(name).help), name


@pytest.mark.parametrize("name", WHOLE + REAL)
def test_both_ends_of_the_range_are_allowed(name):
    option = option_of(name)
    for value in (option.minimum, option.maximum):
        kept = getattr(SegmentationConfig(**{name: value}), name)
        assert kept == value
        assert type(kept) is type(FIELDS[name])


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_just_outside_are_refused(name):
    assert_refused(name, option_of(name).minimum - 1)
    assert_refused(name, option_of(name).maximum + 1)


@pytest.mark.parametrize("name", REAL)
def test_real_numbers_just_outside_are_refused(name):
    assert_refused(name, math.nextafter(option_of(name).minimum, -math.inf))
    assert_refused(name, math.nextafter(option_of(name).maximum, math.inf))


@pytest.mark.parametrize("value", [None, "3", True, np.True_, [1], math.nan, math.inf, -math.inf, 1j, b"1"])
@pytest.mark.parametrize("name", WHOLE + REAL)
def test_anything_but_a_number_is_refused(name, value):
    assert_refused(name, value)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [3.0, 3.5, np.float64(3), Fraction(7, 2)])
def test_whole_options_take_no_fractions(name, value):
    assert_refused(name, value)


@pytest.mark.parametrize("name", REAL)
def test_a_number_too_large_for_a_float_is_refused(name):
    assert_refused(name, 10**400)


@pytest.mark.parametrize("value", ["Minmax", "", None, 1, ["minmax"], True])
def test_words_must_be_known(value):
    assert_refused("scaling", value)


@pytest.mark.parametrize("name", SWITCHES)
def test_switches_are_bools_and_their_words_are_understood(name):
    for value in (True, np.True_, "on", "true", "True", "yes"):
        config = SegmentationConfig(**{name: value})
        assert getattr(config, name) is True
        assert config.to_dict()[name] is True
        assert config == SegmentationConfig.from_dict({name: value}) == SegmentationConfig().replace(**{name: value})
    for value in (False, np.False_, "off", "false", "no"):
        assert getattr(SegmentationConfig.preset("fast", **{name: value}), name) is False


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["maybe", "", 1, 0.0, None, ["on"]])
def test_anything_but_a_switch_is_refused(name, value):
    assert_refused(name, value)


def test_an_array_is_no_word():
    with pytest.raises(ConfigError, match="scaling"):
        SegmentationConfig(scaling=np.array(["minmax", "percentile"]))


def test_numpy_numbers_become_plain_ones():
    config = SegmentationConfig(epochs=np.int16(7), nu=np.float32(0.5), mu=3)
    assert (config.epochs, config.nu, config.mu) == (7, 0.5, 3.0)
    assert (type(config.epochs), type(config.nu), type(config.mu)) == (int, float, float)


def test_the_range_is_written_with_every_digit():
    with pytest.raises(ConfigError, match=r"^seed is -1, but must be from 0 to 2147483647\.$"):
        SegmentationConfig(seed=-1)
    with pytest.raises(ConfigError, match=r"^learning_rate is 0, but must be from 1e-05 to 10\.$"):
        SegmentationConfig(learning_rate=0)
    with pytest.raises(ConfigError, match=r"^epochs is 2.5, but must be a whole number from 1 to 100000\.$"):
        SegmentationConfig(epochs=2.5)
    with pytest.raises(ConfigError, match=r"^scaling is 'log', but must be one of minmax, percentile, robust\.$"):
        SegmentationConfig(scaling="log")


@pytest.mark.parametrize(
    "make",
    [
        lambda **kw: SegmentationConfig(**kw),
        lambda **kw: SegmentationConfig.preset("fast", **kw),
        lambda **kw: SegmentationConfig().replace(**kw),
        SegmentationConfig.from_dict,
    ],
    ids=["constructor", "preset", "replace", "from_dict"],
)
def test_unknown_names_and_bad_values_are_refused_everywhere(make, request):
    call = make if request.node.callspec.id != "from_dict" else (lambda **kw: make(kw))
    with pytest.raises(ConfigError, match=r"no option 'n_feature' \(given as 3\): did you mean 'n_features'\?"):
        call(n_feature=3)
    with pytest.raises(ConfigError, match=r"no option 'xyzzy' \(given as 3\): the options are n_features, "):
        call(xyzzy=3)
    with pytest.raises(ConfigError, match=r"^n_classes is 1, but must be from 2 to 1000\.$"):
        call(n_classes=1)
    assert call(n_classes=5).n_classes == 5


def test_positions_are_not_taken():
    with pytest.raises(TypeError):
        SegmentationConfig(100)


def test_config_errors_are_ours_and_value_errors():
    assert issubclass(ConfigError, UfsegError)
    assert issubclass(ConfigError, ValueError)


def test_presets_have_the_published_values():
    assert set(PRESETS) == {"fast", "generalised", "paper"}
    assert DEFAULT_PRESET == "fast"
    for name, expected in {"generalised": GENERALISED, "paper": PAPER}.items():
        config = SegmentationConfig.preset(name).to_dict()
        assert {key: config[key] for key in expected} == expected
        assert config["scaling"] == "minmax"
        assert config["settle_fraction"] == 0
        assert config["seed"] == 0
    assert SegmentationConfig() == SegmentationConfig.preset("generalised")


def test_fast_is_smaller_and_shorter_and_the_default():
    fast, full = SegmentationConfig.preset(), SegmentationConfig.preset("paper")
    assert fast == SegmentationConfig.preset("fast")
    assert fast.n_features < full.n_features
    assert fast.n_classes < full.n_classes
    assert fast.epochs < full.epochs


def test_presets_take_changes():
    config = SegmentationConfig.preset("paper", seed=3, nu=1.5)
    assert (config.seed, config.nu, config.momentum) == (3, 1.5, 0.9)
    assert SegmentationConfig.preset("paper", mu=2.5).mu == 2.5


def test_an_unknown_preset_is_named():
    with pytest.raises(ConfigError, match=r"no preset 'best': use one of fast, generalised, paper"):
        SegmentationConfig.preset("best")


def test_configs_are_frozen():
    config = SegmentationConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.nu = 3.0
    assert config.replace(nu=3.0).nu == 3.0
    assert config.nu == 2.0
    assert len({config, SegmentationConfig(), config.replace(nu=3.0)}) == 2


def test_configs_survive_dict_json_and_pickle():
    config = SegmentationConfig.preset("fast", seed=7, learning_rate=0.123456789, scaling="percentile")
    assert SegmentationConfig.from_dict(config.to_dict()) == config
    assert SegmentationConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert SegmentationConfig.from_dict({}) == SegmentationConfig()
    assert all(type(value) in (bool, int, float, str) for value in config.to_dict().values())

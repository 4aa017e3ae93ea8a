import errno

import numpy as np
import pytest
import torch

from napari_ufseg.engine import errors
from napari_ufseg.engine.errors import (
    FileError,
    InternalError,
    MemoryShortageError,
    TrainingError,
    UfsegError,
    engine_errors,
)


def kinds(base):
    return [base, *(kind for child in base.__subclasses__() for kind in kinds(child))]


def test_no_kind_is_a_runtime_error():
    """superqt's GeneratorWorker swallows RuntimeError: neither `errored` nor `finished` would be emitted."""
    assert {kind.__name__ for kind in kinds(UfsegError)} >= {
        "ConfigError", "ImageError", "DeviceError", "MemoryShortageError", "TrainingError", "InternalError",
        "ModelFileError", "FileError",
    }  # fmt: skip
    for kind in kinds(UfsegError):
        assert not issubclass(kind, RuntimeError)
        assert kind.__doc__


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), MemoryShortageError),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), MemoryShortageError),
        (torch.OutOfMemoryError("something else"), MemoryShortageError),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            MemoryShortageError,
        ),
        (RuntimeError("MPS backend out of memory"), MemoryShortageError),
        (RuntimeError("size mismatch\nwith a second line"), TrainingError),
        (RuntimeError(), TrainingError),
        (KeyError("x"), InternalError),
        (IndexError("list index out of range"), InternalError),
        (ZeroDivisionError("division by zero"), InternalError),
        (TypeError("unsupported operand"), InternalError),
        (AttributeError("no attribute"), InternalError),
        (NameError("name 'x' is not defined"), InternalError),
        (AssertionError(), InternalError),
        (NotImplementedError("The operator is not implemented for the MPS device"), TrainingError),
        (ValueError("a value of the image"), TrainingError),
        (OSError(errno.ENOSPC, "No space left on device"), FileError),
        (OSError(errno.EIO, "Input/output error"), TrainingError),
        (np.linalg.LinAlgError("singular"), TrainingError),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)[:40]),
)
def test_foreign_errors_become_ours_with_one_line(raised, expected):
    with pytest.raises(expected) as caught, engine_errors("Training"):
        raise raised
    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised
    assert str(caught.value).startswith("Training ")
    assert "\n" not in str(caught.value)


def test_our_own_errors_and_interrupts_pass_unchanged():
    own = errors.ConfigError("mine")
    with pytest.raises(errors.ConfigError) as caught, engine_errors("Training"):
        raise own
    assert caught.value is own
    with pytest.raises(KeyboardInterrupt), engine_errors("Training"):
        raise KeyboardInterrupt

"""The public names and where they live: type checkers read this, and `lazy_loader` when one is used first."""

from ._version import __version__ as __version__
from .engine.api import iter_segment as iter_segment
from .engine.api import predict as predict
from .engine.api import segment as segment
from .engine.api import train_on as train_on
from .engine.config import SegmentationConfig as SegmentationConfig
from .engine.errors import UfsegError as UfsegError
from .engine.labels.matching import merge_by_scribbles as merge_by_scribbles
from .engine.labels.regions import absorb_small as absorb_small
from .engine.labels.regions import connected_regions as connected_regions
from .engine.network.model_file import load_model as load_model
from .engine.network.model_file import save_model as save_model
from .engine.prediction.confidence import confidence as confidence

"""How long a run still takes, from what its epochs and pictures have taken."""

from statistics import median

from napari_ufseg.engine.preview import DRAWING
from napari_ufseg.engine.training.trainer import Trainer

LABELLING = 0.3  # seconds of labelling per second of an epoch on as many pixels
FIRST = 0.8  # what an epoch takes, per second of the first one, which also prepares memory


class Pace:
    """Looks at a trainer's record when it is asked.

    Parameters
    ----------
    trainer : Trainer
    n_pixels : int
        Pixels that get their label at the end.
    """

    def __init__(self, trainer: Trainer, n_pixels: int) -> None:
        self._trainer = trainer
        self._n_pixels = n_pixels
        self._epoch_pixels = sum(image[0].numel() for image in trainer.images)
        self._drawing = 0.0

    def drew(self, seconds: float) -> None:
        """A picture took so long."""
        self._drawing += seconds

    def seconds_left(self, epochs: int) -> float:
        """Until the end of a run of at most so many more epochs, with its pictures and the labelling of every pixel."""
        epoch = self._seconds_per_epoch()
        pictures = min(DRAWING, self._drawing / self._trainer.elapsed) if self._trainer.elapsed else 0.0
        labelling = LABELLING * epoch * self._n_pixels / self._epoch_pixels
        return epochs * epoch * (1 + pictures) + labelling

    def _seconds_per_epoch(self) -> float:
        """The median of the last ones; the first is left out as soon as there is another."""
        seconds = [record.seconds for record in self._trainer.history]
        if len(seconds) < 2:
            return FIRST * (seconds[0] if seconds else self._trainer.elapsed * self._trainer.n_batches)
        return median(seconds[1:][-20:])

"""What a training needs that goes on from labels in the viewer; its heavy part is done in the thread of the run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_ufseg._napari.layers.region import ImageRegion
from napari_ufseg.engine.config import InputOptions, NetworkOptions, SegmentationConfig
from napari_ufseg.engine.labels.edits import Packed

if TYPE_CHECKING:
    from napari_ufseg.engine.images.source import ImageSource
    from napari_ufseg.engine.network.model import SegmentationModel
    from napari_ufseg.engine.training.timeline import Keyframe, Timeline
    from napari_ufseg.engine.training.warm_start import WarmStart


@dataclass(eq=False)
class Origin:
    """How labels came about.

    Parameters
    ----------
    parts : sequence of ImageRegion
        The images.
    model : SegmentationModel
        What has made them.
    made : sequence of Packed or None
        The labels as they were made; None where they are too large to be kept, and are made again when they are needed.
    own : sequence of bool arrays, optional
        Pixels that had been corrected before.
    epoch : int
        The epoch of its training in which the model made them; 0 if nobody knows.
    """

    parts: Sequence[ImageRegion]
    model: "SegmentationModel"
    made: Sequence[Packed | None]
    own: Sequence[Any] | None = None
    epoch: int = 0

    def without(self, number: int) -> "Origin":
        """The same, but for the image of that number."""

        def rest(items: Sequence[Any]) -> list[Any]:
            return [item for i, item in enumerate(items) if i != number]

        own = None if self.own is None else rest(self.own)
        return Origin(rest(self.parts), self.model, rest(self.made), own, self.epoch)


@dataclass(frozen=True)
class RestoredKeyframe:
    """A moment of a run, whose labels are to be those of the layers.

    Parameters
    ----------
    timeline : Timeline
    keyframe : Keyframe
        One of them.
    """

    timeline: "Timeline"
    keyframe: "Keyframe"
    labels_only = True

    def warm_start(self, _: Any) -> "WarmStart":
        """What the session begins with."""
        return self.timeline.warm_start(self.keyframe)


@dataclass(frozen=True)
class TrainOn:
    """Labels to train on from.

    Parameters
    ----------
    origin : Origin
    label_images : sequence of arrays
        As they are now, of the shapes of the images without channels.
    parents : dict of int to int
        The class of every region that was split from one.
    """

    origin: Origin
    label_images: Sequence[Any]
    parents: Mapping[int, int] = field(default_factory=dict)
    labels_only = False

    def warm_start(self, device: Any) -> "WarmStart":
        """What the session begins with; takes a while."""
        from napari_ufseg.engine.labels.corrections import find_corrections
        from napari_ufseg.engine.training.warm_start import WarmStart

        made = [
            _predicted(self.origin.model, part.source, device)
            if packed is None
            else packed.array().reshape(part.source.labels_shape)
            for part, packed in zip(self.origin.parts, self.origin.made, strict=True)
        ]
        labels = self.origin.model.class_labels
        found = find_corrections(made, self.label_images, labels, earlier=self.origin.own, parents=self.parents)
        return WarmStart(self.origin.model, found)


def without_image(number: int, n_images: int) -> Callable[[Origin | None], Origin | None]:
    """A function that takes one of so many images out of origins, and makes of the same origin the same one."""
    known: dict[int, tuple[Origin, Origin]] = {}

    def narrow(origin: Origin | None) -> Origin | None:
        if origin is None or len(origin.parts) != n_images:
            return origin
        return known.setdefault(id(origin), (origin, origin.without(number)))[1]

    return narrow


def in_network_of(own: SegmentationConfig, wanted: SegmentationConfig) -> SegmentationConfig:
    """The options of `wanted` for training, loss and stopping, with network and input of a model's own config."""
    fixed = {item.name for item in (*fields(NetworkOptions), *fields(InputOptions))}
    return own.replace(**{name: value for name, value in wanted.to_dict().items() if name not in fixed})


def _predicted(model: "SegmentationModel", source: "ImageSource", device: Any) -> Any:
    """What the model makes of an image, on disk as long as somebody holds it."""
    from napari_ufseg.engine.images.tiling import label_chunks
    from napari_ufseg.engine.prediction.labelling import LabellingJob, label_images, learn_intensity
    from napari_ufseg.io import create_temporary_labels

    chunks = label_chunks(source.item_shape, source.chunks, len(source.labels_shape))
    out, _ = create_temporary_labels(source.labels_shape, chunks)
    for _ in label_images(
        model, [LabellingJob(source, model.range_for(learn_intensity(source, model.config)), out)], device
    ):
        pass
    return out

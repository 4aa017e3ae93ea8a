"""SegmentationModel: a trained network with its config, scaling and labels, ready to predict or to be saved."""

from dataclasses import dataclass, field, replace
from typing import Self

from napari_ufseg.engine.config import SegmentationConfig
from napari_ufseg.engine.errors import ImageError, counted
from napari_ufseg.engine.images.intensity import IntensityRange, choose_range
from napari_ufseg.engine.images.source import ImageSource
from napari_ufseg.engine.labels.class_table import ClassTable
from napari_ufseg.engine.labels.hierarchy import ClassHierarchy
from napari_ufseg.engine.labels.palette import shades_for
from napari_ufseg.engine.network.feature_net import FeatureNet


@dataclass(frozen=True)
class SegmentationModel:
    """A trained network in eval mode with all that prediction needs.

    Parameters
    ----------
    network : FeatureNet
        On the CPU; prediction works on a copy on its device.
    config : SegmentationConfig
        How it was trained; the scaling of images is taken from here.
    n_channels : int
        Channels that an image must have.
    class_labels : (K,) tuple of int
        Label that is shown for each class index; k + 1 unless classes were merged.
    classes : ClassTable
        Names and colours of these labels, as a user has chosen them.
    hierarchy : ClassHierarchy
        Which of these labels are shown as one at a lower detail; empty if nobody knows, as in older files.
    intensity : tuple of IntensityRange
        Brightness of the images that it was trained on; empty if nobody knows, as in older files.
    """

    network: FeatureNet
    config: SegmentationConfig
    n_channels: int
    class_labels: tuple[int, ...] = field(default=())
    classes: ClassTable = field(default_factory=ClassTable, compare=False)
    hierarchy: ClassHierarchy = field(default_factory=ClassHierarchy, compare=False)
    intensity: tuple[IntensityRange, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.class_labels:
            object.__setattr__(self, "class_labels", tuple(range(1, self.config.n_classes + 1)))

    def range_for(self, own: IntensityRange, intensity: str = "auto") -> IntensityRange:
        """The range by which the model sees an image; see `napari_ufseg.engine.images.intensity.choose_range`.

        Parameters
        ----------
        own : IntensityRange
            Of the image.
        intensity : {"auto", "trained", "own"}
            As in `napari_ufseg.predict`.

        Raises
        ------
        ConfigError
            If it is another word.
        """
        return choose_range(own, self.intensity, intensity)

    def merged(self, label_of: dict[int, int]) -> Self:
        """The same model with labels renamed, so that it predicts merged classes.

        Parameters
        ----------
        label_of : dict
            New label for each old one; labels that are missing stay as they are.
        """
        class_labels = tuple(label_of.get(label, label) for label in self.class_labels)
        return replace(self, class_labels=class_labels, hierarchy=self.hierarchy.merged(label_of))

    def at_detail(self, detail: int | str) -> Self:
        """The same model, so that it predicts the classes that are shown at a detail.

        Parameters
        ----------
        detail : int or {"auto", "all"}
            How many classes; larger shows more. ``"auto"`` is the suggested
            detail, ``"all"`` every class. A model without a tree of classes stays as it is.

        Raises
        ------
        ConfigError
            If it is anything else.
        """
        return self.merged(self.hierarchy.shown_class(self.hierarchy.number_at(detail)))

    def classes_at(self, detail: int | str) -> ClassTable:
        """What label files say about the classes that are shown at a detail.

        Colours are by brightness unless somebody has chosen others, and the background, which keeps its number, is not
        drawn. Of a model without a tree of classes it is what is said about all of them.

        Parameters
        ----------
        detail : int or {"auto", "all"}
            As in `at_detail`.

        Raises
        ------
        ConfigError
            As `at_detail`.
        """
        tree = self.hierarchy
        number = tree.number_at(detail)
        classes = self.classes
        if tree.brightness:
            classes = classes.shaded(shades_for(tree.brightness, classes.shades))
        table, background = classes.shown(tree.shown_class(number)), tree.background_at(number)
        return table if background is None else table.changed(background, is_visible=False)

    def require_channels(self, source: ImageSource) -> None:
        """Raise ImageError unless an image has the channels that the model was trained on."""
        if source.n_channels != self.n_channels:
            raise ImageError(
                f"The model was trained on {counted(self.n_channels, 'channel')}, but "
                f"{source.name[0].lower()}{source.name[1:]} has {source.n_channels}: choose an image with the same channels, or train a new model."
            )

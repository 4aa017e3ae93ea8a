"""A training that goes on: the weights it begins with, and what a user has made of the labels since."""

from dataclasses import dataclass, fields

from napari_ufseg.engine.config import InputOptions, NetworkOptions, SegmentationConfig
from napari_ufseg.engine.errors import ConfigError
from napari_ufseg.engine.labels.corrections import Corrections
from napari_ufseg.engine.network.feature_net import FeatureNet
from napari_ufseg.engine.network.model import SegmentationModel
from napari_ufseg.engine.network.new_classes import with_new_classes
from napari_ufseg.engine.training.training_set import TrainingSet


@dataclass(frozen=True)
class WarmStart:
    """A model to train on from, with the corrections of its labels.

    Parameters
    ----------
    model : SegmentationModel
        Its BatchNorm statistics should be those of the images.
    corrections : Corrections, optional
    """

    model: SegmentationModel
    corrections: Corrections | None = None

    @property
    def class_labels(self) -> tuple[int, ...]:
        """The label of every class."""
        return self.model.class_labels if self.corrections is None else self.corrections.class_labels

    def fitted(self, config: SegmentationConfig | None) -> SegmentationConfig:
        """The config of the training: that of the model, or another that goes with its network, with room for new classes.

        With corrections no number of classes ends the training: the user has chosen it.

        Raises
        ------
        ConfigError
            If network or input of the config are others than those of the model.
        """
        own = self.model.config
        chosen = own if config is None else config
        for item in (*fields(NetworkOptions), *fields(InputOptions)):
            asked, had = getattr(chosen, item.name), getattr(own, item.name)
            if asked != had and item.name != "n_classes":
                raise ConfigError(
                    f"{item.name} is {asked!r}, but the model was trained with {had!r}: what is trained on keeps its network and input."
                )
        chosen = chosen.replace(n_classes=len(self.class_labels))
        if self.corrections is None:
            return chosen
        return chosen.replace(min_classes=1, guard=False)

    def weighted(self, config: SegmentationConfig) -> SegmentationConfig:
        """The config of the loss: corrected pixels have the weight `correction_weight` in the place of scribbles."""
        return config if self.corrections is None else config.replace(scribble_weight=config.correction_weight)

    def network(self, chosen: TrainingSet, config: SegmentationConfig, n_channels: int) -> FeatureNet:
        """The network to begin with, for images on the CPU."""
        if self.corrections is None or not self.corrections.copied:
            network = FeatureNet.of_config(config, n_channels)
            network.load_state_dict(self.model.network.state_dict())
            return network
        groups = self.corrections.groups
        marks = chosen.scribbles or []
        painted = {k: [item == int(groups[k]) + 1 for item in marks] for k in self.corrections.copied}
        trained = chosen.trained
        return with_new_classes(
            self.model.network,
            config,
            n_channels,
            self.corrections.copied,
            [chosen.images[i] for i in trained],
            {k: [masks[i] for i in trained] for k, masks in painted.items()},
        )

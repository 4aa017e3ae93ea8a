"""NetworkOptions: the options that say what the network looks like."""

from dataclasses import dataclass

from napari_ufseg.engine.option import choice_option, number_option

LEAST_ANISOTROPY, MOST_ANISOTROPY = 0.01, 1000.0
_NETWORK = "Network"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The part of a `SegmentationConfig` that says what the network looks like; the defaults are the published method."""

    n_features: int = number_option(
        100,
        "Features",
        _NETWORK,
        (1, 1024, 8),
        "Channels of each convolution; more tell finer textures apart, but are slower and need more memory.",
    )
    n_convolutions: int = number_option(
        2,
        "Convolutions",
        _NETWORK,
        (1, 10, 1),
        "Number of 3x3 convolutions; more look at a wider neighbourhood and give smoother, blurrier borders.",
    )
    n_classes: int = number_option(
        100,
        "Classes to begin with",
        _NETWORK,
        (2, 1000, 1),
        "How many classes the first picture may have; more keep finer differences and take longer to settle.",
    )
    spatial_dims: int = number_option(
        2,
        "Dimensions",
        _NETWORK,
        (2, 3, 1),
        "2 takes every plane by itself; larger, 3, looks along depth (Z) too, with 3D convolutions: slower, smoother in Z.",
    )
    anisotropy: float = number_option(
        1.0,
        "Anisotropy",
        _NETWORK,
        (LEAST_ANISOTROPY, MOST_ANISOTROPY, 0.1),
        "Depth of voxels over their width, in 3D, which layers and files tell; larger lets fewer convolutions look along Z.",
    )
    kernels: str = choice_option(
        "free",
        "Kernels",
        _NETWORK,
        ("free", "symmetric"),
        "symmetric kernels see no difference between left and right, up and down: no crescents along edges.",
    )
    padding: str = choice_option(
        "zeros",
        "Beyond the border",
        _NETWORK,
        ("zeros", "replicate"),
        "zeros has a dark frame around the image; replicate repeats its outermost pixels: no frame of its own class.",
    )
    skip: str = choice_option(
        "off",
        "Skip",
        _NETWORK,
        ("off", "on"),
        "on: the classifier also sees brightness or colour of the pixel itself, so that borders stay sharp.",
    )

    @property
    def is_plain_network(self) -> bool:
        """Whether the network is the published one, without symmetric kernels, replicate padding or skip."""
        return (self.kernels, self.padding, self.skip) == ("free", "zeros", "off")

    @property
    def n_convolutions_z(self) -> int:
        """How many of the convolutions also look along depth.

        With voxels `anisotropy` times as deep as wide, so many steps of the
        convolutions along Z span about the same length as all their steps in
        the plane: ``n_convolutions / anisotropy``, rounded, at least one and
        at most all. With 2 spatial dimensions none does.
        """
        if self.spatial_dims == 2:
            return 0
        return min(self.n_convolutions, max(1, round(self.n_convolutions / self.anisotropy)))

    @property
    def halo(self) -> tuple[int, ...]:
        """How far the network sees beyond a pixel, along (Y, X) or (Z, Y, X)."""
        plane = (self.n_convolutions,) * 2
        return plane if self.spatial_dims == 2 else (self.n_convolutions_z, *plane)

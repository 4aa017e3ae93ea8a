"""Paint a few strokes: a stroke of number s trains the class that is shown as label s."""

import numpy as np
from skimage import data

from napari_ufseg import SegmentationConfig, segment

image = data.coins()[110:158, 90:154]

scribbles = np.zeros(image.shape, np.uint8)  # 0: nothing painted here
scribbles[16:19, 10:25] = 2  # a stroke over a coin: "these are class 2"
scribbles[2:46, 37:39] = 1  # a stroke between two coins: "and these are class 1"

config = SegmentationConfig.preset("fast", seed=0)
plain = segment(image, config)
guided = segment(image, config, scribbles=scribbles)

for name, result in (("without strokes", plain), ("with strokes", guided)):
    on_coin = np.mean(result.labels[scribbles == 2] == 2)
    between = np.mean(result.labels[scribbles == 1] == 1)
    print(f"{name}: {on_coin:.0%} of the coin stroke is class 2, {between:.0%} of the other is class 1")
    for label in np.unique(result.labels):
        inside = result.labels == label
        print(f"  class {label}: {inside.mean():6.1%} of the pixels, mean brightness {image[inside].mean():5.1f}")

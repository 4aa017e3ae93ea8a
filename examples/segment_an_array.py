"""Segment one image and say what was found; the labels are written as a TIFF file."""

import numpy as np
import tifffile
from skimage import data

from napari_ufseg import SegmentationConfig, segment

image = data.coins()[100:156, 88:160]

config = SegmentationConfig.preset("fast", n_features=16, n_classes=8, epochs=30, min_classes=3, seed=0)
result = segment(image, config)

print(f"{image.shape} {image.dtype} -> labels {result.labels.shape} {result.labels.dtype}")
print(f"stopped after {len(result.history)} epochs: {result.stop_reason}")
for label, count in zip(*np.unique(result.labels, return_counts=True), strict=True):
    brightness = image[result.labels == label].mean()
    print(f"class {label:2d}: {count / result.labels.size:6.1%} of the pixels, mean brightness {brightness:5.1f}")

tifffile.imwrite("coins_labels.tif", result.labels)
print("written: coins_labels.tif")

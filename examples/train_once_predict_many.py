"""Train on a few images together, save the model, and label images that it has never seen."""

import numpy as np
from skimage import data

from napari_ufseg import SegmentationConfig, load_model, predict, save_model, segment

coins = data.coins()
training = [coins[110:158, 88:152], coins[180:230, 200:250]]  # sizes may differ
unseen = [coins[30:78, 30:94], coins[230:278, 40:104]]

config = SegmentationConfig.preset("fast", n_features=12, n_classes=8, epochs=20, seed=0)
result = segment(training, config)
save_model(result.model, "coins.safetensors")

model = load_model("coins.safetensors")
again = predict(model, training)
same = all(np.array_equal(a, b) for a, b in zip(result.labels, again, strict=True))
print(f"the saved model repeats the labels of the training images: {same}")

for number, labels in enumerate(predict(model, unseen), start=1):
    classes, counts = np.unique(labels, return_counts=True)
    areas = ", ".join(f"class {k}: {n / labels.size:.0%}" for k, n in zip(classes, counts, strict=True))
    print(f"unseen image {number}: {labels.shape}, {areas}")

"""Watch the labels evolve while the network trains, and stop when the picture is simple enough."""

from skimage import data

from napari_ufseg import SegmentationConfig, iter_segment

image = data.immunohistochemistry()[200:248, 200:264]  # (Y, X, C): stained tissue
config = SegmentationConfig.preset("fast", n_classes=16, epochs=40, min_classes=12, seed=1)

run = iter_segment(image, config, every=0.05)  # at most 20 snapshots a second
while True:
    try:
        snapshot = next(run)
    except StopIteration as end:  # a generator returns its result with this
        result = end.value
        break
    print(
        f"epoch {snapshot.epoch:2d} of {snapshot.epochs}: {snapshot.n_classes:2d} classes, "
        f"loss {snapshot.losses['total']:.3f}, at most {snapshot.seconds_left:.1f} s left"
    )

print(f"done ({result.stop_reason}): {len(set(result.labels.flat))} classes")

"""Commands of the manifest that are not widgets."""

from napari.viewer import Viewer


def segment_active(viewer: Viewer) -> None:
    """Open the dock and press Segment for the active image."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-ufseg")
    widget.segment()

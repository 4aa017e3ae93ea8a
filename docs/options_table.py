"""Print the README's table of options from the config's own metadata: python docs/options_table.py."""

from napari_ufseg.engine.config import PRESETS, SegmentationConfig, options


def table() -> str:
    """The table in Markdown, one row per option."""
    presets = {name: SegmentationConfig.preset(name).to_dict() for name in PRESETS}
    rows = [f"| option | {' | '.join(f'`{name}`' for name in presets)} | range | what a larger value does |"]
    rows.append("| --- " * (len(presets) + 3) + "|")
    for name, option in options().items():
        values = " | ".join(_written(preset[name]) for preset in presets.values())
        span = ", ".join(option.choices) or (
            option.allowed if option.is_switch else f"{option.minimum:g} to {option.maximum:g}"
        )
        rows.append(f"| `{name}` | {values} | {span} | {option.help} |")
    return "\n".join(rows)


def _written(value: bool | float | str) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(table())

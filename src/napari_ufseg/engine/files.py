"""Writing a file whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_ufseg.engine.errors import FileError


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that is moved into place when the block ends well.

    The folder is made if it is missing. On an error the temporary file is
    removed and whatever stood at `path` before stays untouched. The suffix is
    kept, since writers choose their format by it.

    Raises
    ------
    FileError
        If the system refuses (no permission, disk full, a folder of that name).
    """
    target = Path(path)
    temporary = target.parent / f".ufseg-{uuid.uuid4().hex[:8]}{target.suffix}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise FileError(f"Cannot write {target}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)

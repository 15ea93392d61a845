"""How Lightning writes and reads checkpoints here: durably, and the previous one where the last is damaged."""

from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from rich.console import Console

from src import storage


class DurableCheckpoints(CheckpointIO):
    """Hands files to :mod:`src.storage`, and says which ones could not be used."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        storage.write(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        content, problems = storage.read(Path(path))
        for problem in problems:
            Console(stderr=True).print(f"{problem}; going on with the one before", markup=False, soft_wrap=True)
        return content

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)

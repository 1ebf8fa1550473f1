"""What a run writes down while it goes: metrics.csv and TensorBoard events."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ...files.whole import naming, written_whole

METRICS = "metrics.csv"
_EVENTS = "events.out.tfevents."

Row = dict[str, str]


class Journal:
    """Metrics of each step, in a table and for TensorBoard.

    Args:
        folder: the run's; made if it is not there.
        step: step the run is at; rows of the table after it come from a run that was broken off, and go.
        active: False writes nothing, for all processes but the first.
    """

    def __init__(self, folder: Path, step: int, active: bool) -> None:
        self._path = folder / METRICS
        self._active = active
        if active:
            with naming(folder):
                folder.mkdir(parents=True, exist_ok=True)
            self._rows = self._rows_until(step)
            self._columns = [*self._rows[0]] if self._rows else []
            self._rewrite()
            _wait_for_a_later_name(folder)
            with naming(folder):
                self._events = SummaryWriter(str(folder), purge_step=step + 1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            with naming(self._path.parent):
                self._events.close()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one step's metrics down."""
        if not self._active:
            return
        row: Row = {"step": str(step), **{name: f"{value:.6g}" for name, value in metrics.items()}}
        self._rows.append(row)
        new = [name for name in row if name not in self._columns]
        if new:
            self._columns += new
            self._rewrite()
        else:
            with naming(self._path), self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        with naming(self._path.parent):
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)

    def picture(self, step: int, picture: Tensor) -> None:
        """Show a picture (3, H, W) in [0, 1] in TensorBoard."""
        if self._active:
            with naming(self._path.parent):
                self._events.add_image("samples", picture, step)

    def _rows_until(self, step: int) -> list[Row]:
        """Rows to keep; one that was cut off in the middle has no value for the last columns.

        Raises:
            ValueError: it is no such table.
        """
        if not self._path.exists():
            return []
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                return [row for row in csv.DictReader(file) if None not in row.values() and int(row["step"]) <= step]
        except (ValueError, KeyError, csv.Error) as error:
            raise ValueError(
                f"{self._path} is no table of a training's metrics ({error}); expected a column step of whole numbers. "
                "Put a copy back, or take it away, and the table begins here"
            ) from error

    def _rewrite(self) -> None:
        """Write the whole table: some metrics begin later than others."""
        with written_whole(self._path) as path, path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self._columns)
            table.writeheader()
            table.writerows(self._rows)


def _wait_for_a_later_name(folder: Path) -> None:
    """Wait until a new file of events is named after a later second than those that are there.

    Their readers go through them in the order of the names: the second, then host, process and a number, of which 10 is
    before 9. What a file purges must have been read before it.
    """
    while any(folder.glob(f"{_EVENTS}{int(time.time()):010}.*")):
        time.sleep(0.02)

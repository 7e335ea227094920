"""Where the server's processes keep what they have counted, so that whichever is asked can tell it all.

gunicorn's configuration imports this, before anything imports prometheus_client, which looks at its
environment once and for all.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def begin(port: str) -> None:
    """An empty folder for the server at `port`, named to prometheus_client and to all later processes."""
    folder = Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir()) / f"lori-metrics-{port}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RuntimeError(f"{folder}, where metrics would be kept, belongs to somebody else.")
    for left in folder.glob("*.db"):
        left.unlink()
    os.environ[VARIABLE] = str(folder)


def fold(pid: int) -> None:
    """Add what a worker that is gone had counted to one file for all who are gone.

    Its counts stay, since a sum that falls would be read as a fresh start; its files go, which would
    otherwise grow in number as long as the server runs.
    """
    from prometheus_client.mmap_dict import MmapedDict

    folder = Path(os.environ[VARIABLE])
    for left in folder.glob(f"*_{pid}.db"):
        gone = MmapedDict(str(folder / f"{left.stem.removesuffix(f'_{pid}')}_gone.db"))
        for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(left)):
            gone.write_value(key, gone.read_value(key)[0] + value, timestamp)
        gone.close()
        left.unlink()

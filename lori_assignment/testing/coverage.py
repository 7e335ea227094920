"""Measures coverage for `manage.py test --with-coverage`, also in parallel processes."""

from collections.abc import Iterator
from contextlib import contextmanager

import coverage

_measurement: coverage.Coverage | None = None


def start_coverage() -> None:
    """Start measuring. pyproject.toml says what is measured and how much is enough."""
    global _measurement
    _measurement = coverage.Coverage()
    _measurement.erase()
    _measurement.start()


def report_coverage() -> bool:
    """Stop, combine the data of the parallel processes and print the report; return whether it is enough.

    The minimum is `fail_under` in pyproject.toml, for lines and branches together.
    """
    if _measurement is None:
        raise RuntimeError("Coverage starts in manage.py, before Django does: run manage.py test.")
    _measurement.stop()
    _measurement.save()
    _measurement.combine()
    _measurement.save()
    figure = _measurement.report(skip_covered=True, show_missing=True)
    bar = float(_measurement.get_option("report:fail_under") or 0)  # type: ignore[arg-type]  # its type covers all options
    return figure >= bar


@contextmanager
def coverage_paused() -> Iterator[None]:
    """Pause measuring, for tests that repeat hundreds of times what other tests cover."""
    measurement = coverage.Coverage.current()
    if measurement is None:
        yield
        return
    measurement.stop()
    # Otherwise the data so far would be lost if nothing more were measured.
    measurement.get_data()
    try:
        yield
    finally:
        measurement.start()

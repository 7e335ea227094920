"""Paginates querysets by keyset: the ten-thousandth page costs what the first costs.

A page begins not after a number of rows but after the last row of the page before, whose values are in the
cursor. One of them is always unique, so no row is repeated or skipped, even if rows are equal in the others.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import BooleanField, F, Field, Func, Model, Q, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan

_Row = TypeVar("_Row", bound=Model)


class UnknownCursor(Exception):
    """The cursor is invalid, or belongs to a list in another order."""


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row]):
    """The rows of one page, and the cursors of the next and previous pages, None where there is none."""

    rows: list[_Row]
    next: str | None
    previous: str | None


class Cursor(NamedTuple):
    """Where a page begins: after (or, going back, before) the row with these values."""

    back: bool
    values: list[Any]

    def encode(self) -> str:
        # A time is written by str(), which its field can parse.
        text = json.dumps([self.back, *self.values], default=str)
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, length: int) -> Cursor:
        """Parse a cursor. Raises UnknownCursor unless `encode` can have made it of `length` values."""
        try:
            back, *values = json.loads(urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        except (ValueError, TypeError, RecursionError):
            raise UnknownCursor from None
        if type(back) is not bool or len(values) != length or not all(map(_is_plain, values)):
            raise UnknownCursor
        return cls(back, values)


def _is_plain(value: Any) -> bool:
    if type(value) is str:
        return "\x00" not in value
    # No column has a larger number, and SQLite fails on one.
    return type(value) is int and abs(value) < 1 << 63


def paginate(rows: QuerySet[_Row], *, size: int, cursor: str | None = None) -> Page[_Row]:
    """Return the page of `rows` that begins at `cursor`, or the first page.

    The queryset's own order is used. It must consist of fields or annotations with the same direction, none
    of them nullable and the last one unique. Raises UnknownCursor.
    """
    order = [str(name) for name in rows.query.order_by]
    names = [name.removeprefix("-") for name in order]
    start = None if cursor is None else Cursor.decode(cursor, len(names))
    try:
        if start:
            down = order[0].startswith("-") != start.back
            rows = rows.filter(_after_cursor(rows, names, start.values, down=down))
            rows = rows.reverse() if start.back else rows
        found = list(rows[: size + 1])
    except (ValueError, TypeError, OverflowError, ValidationError):
        # OverflowError: a time near datetime.max is beyond it in another time zone.
        raise UnknownCursor from None

    more = len(found) > size
    del found[size:]
    if start and start.back:
        found.reverse()
    has_next = bool(found) and (more or (start is not None and start.back))
    has_previous = bool(found) and start is not None and (more or not start.back)
    return Page(
        found,
        next=_cursor(names, found[-1], back=False) if has_next else None,
        previous=_cursor(names, found[0], back=True) if has_previous else None,
    )


def _cursor(names: Sequence[str], row: Model, *, back: bool) -> str:
    return Cursor(back, [getattr(row, name) for name in names]).encode()


def _after_cursor(rows: QuerySet[Any], names: Sequence[str], values: Sequence[Any], *, down: bool) -> Q:
    """Return the condition that the values of a row, compared as a tuple, come after `values`.

    The first comparison is redundant, but SQLite finds the position in an index by it. PostgreSQL uses the
    second, by which it can skip a hundred thousand books of one year without reading them.
    """
    place = [Value(value, _field(rows, name)) for name, value in zip(names, values, strict=True)]
    first = Q(**{f"{names[0]}__{'lt' if down else 'gt'}{'e' if len(names) > 1 else ''}": place[0]})
    if len(names) == 1:
        return first
    here = _row_value(*(F(name) for name in names))
    there = _row_value(*place)
    return first & Q((LessThan if down else GreaterThan)(here, there))


def _row_value(*expressions: Any) -> Func:
    return Func(*expressions, template="(%(expressions)s)", output_field=BooleanField())


def _field(rows: QuerySet[Any], name: str) -> Field[Any, Any]:
    field: Field[Any, Any] = F(name).resolve_expression(rows.query.clone()).output_field
    return field

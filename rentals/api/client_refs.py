"""Lets calls of the API carry a `client_ref`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lori_assignment.rest.viewsets import ResourceViewSet
from rentals import client_refs
from rentals.models import LedgerEntry, Rental

_Made = TypeVar("_Made", Rental, LedgerEntry)


def make_once(
    view: ResourceViewSet[Any], sent: Mapping[str, Any], make: Callable[[], _Made]
) -> tuple[_Made, bool]:
    """Call `make`, or return what an earlier call with the same `client_ref` made, and whether it is new."""
    content = dict(sent)
    ref = content.pop("client_ref", None)
    if ref is None:
        made = make()
        # Saves the query for a reference that a new row can't have.
        relation: Any = made._meta.get_field("client_ref")  # noqa: SLF001  # Documented by Django.
        relation.set_cached_value(made, None)
        return made, True
    return client_refs.make_once(account=view.caller, ref=ref, content=content, make=make, at=view.now)

"""Searches the lists of rentals, holds and ledger entries by member, book, barcode or rental number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from accounts.models import User
from books.models import Copy
from books.search import MAX_MATCHES, matching_ids
from lori_assignment.admin import IndexedListAdmin
from rentals.models import Rental


@dataclass(frozen=True, slots=True)
class SearchMatches:
    """The ids of the rows that a text matches; `more` is true if some matches were left out.

    Ids, not subqueries, so that the database uses its indexes on them, however large the tables are.
    """

    members: list[int]
    books: list[int]
    copies: list[int]
    rentals: list[int]
    more: bool

    @property
    def of_rentals(self) -> Q:
        copies = [*self.copies, *Copy.objects.filter(book__in=self.books).values_list("pk", flat=True)]
        return Q(user__in=self.members) | Q(copy__in=copies) | Q(pk__in=self.rentals)

    @property
    def of_holds(self) -> Q:
        return Q(user__in=self.members) | Q(book__in=self.books) | Q(copy__in=self.copies)

    @property
    def of_entries(self) -> Q:
        return Q(user__in=self.members) | Q(rental__in=self.rentals)


def find_matches(text: str) -> SearchMatches:
    """Return members and books that match `text`, the copy with this barcode, the rental with this number."""
    text = text.strip()
    members = list(User.objects.search(text).values_list("pk", flat=True)[: MAX_MATCHES + 1])
    books = matching_ids(text, most=MAX_MATCHES + 1)
    copies = Copy.objects.filter(barcode__in={text, text.upper()})
    is_number = text.isascii() and text.isdigit() and len(text) < len(str(2**63))
    rentals = Rental.objects.filter(pk=int(text)) if is_number else Rental.objects.none()
    return SearchMatches(
        members=members[:MAX_MATCHES],
        books=books[:MAX_MATCHES],
        copies=list(copies.values_list("pk", flat=True)),
        rentals=list(rentals.values_list("pk", flat=True)),
        more=max(len(members), len(books)) > MAX_MATCHES,
    )


class MatchSearchAdmin(IndexedListAdmin):
    """A list whose search finds the rows that belong to the `SearchMatches` of the text."""

    def matching_rows(self, matches: SearchMatches) -> Q:
        """Return the condition that selects the rows that belong to `matches`."""
        raise NotImplementedError

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        if not search_term.strip():
            return queryset, False
        matches = find_matches(search_term)
        return self.limit_to_newest(request, queryset.filter(self.matching_rows(matches)), more=matches.more)

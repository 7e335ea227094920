"""Pages of the catalogue and of a book."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from books.catalogue import capped_count, facets, in_decade, in_order
from books.forms import KINDS, NEWEST, CatalogueForm, year_name
from books.languages import language_name
from books.models import Book, Kind
from books.search import SearchResult, find
from lori_assignment import clock
from lori_assignment.db.keyset_pagination import UnknownCursor, paginate
from lori_assignment.http.member_pages import referring_page
from lori_assignment.money import plain_amount
from rentals.availability import available_books, set_copy_counts
from rentals.models import Hold, Rental
from rentals.offers import quote_for
from rentals.price_lists import rates_in_force
from rentals.pricing import Price
from rentals.wait_estimates import estimate_queue, wait_estimates

PAGE = 24
EXAMPLES = (1, 3, 7, 14)


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """An active filter, and the URL of the list without it."""

    label: str
    without: str


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the catalogue, filtered by the query string. Redirects to a URL without empty parameters."""
    given, part = request.GET, _is_part(request)
    asked = QueryDict(mutable=True)
    asked.update({name: str(value) for name, value in given.dict().items() if value})
    form = CatalogueForm(asked, facets=facets())
    form.is_valid()
    wanted = form.cleaned_data
    # Invalid values are left out of `kept`; the form shows an error next to their fields.
    kept = QueryDict(mutable=True)
    kept.update({name: str(value) for name, value in asked.dict().items() if name in wanted})
    address = _address(kept)
    if len(asked) < len(given) and not part:
        return redirect(_address(asked))

    found = _found(wanted)
    try:
        page = paginate(found.books, size=PAGE, cursor=asked.get("cursor"))
    except UnknownCursor:
        return redirect(address)
    set_copy_counts(page.rows)
    facts = {
        "form": form,
        "found": found,
        "books": page.rows,
        "rates": rates_in_force(at=clock.now()),
        "chips": _chips(form, kept),
        "canonical": f"{settings.SITE_URL}{address}",
        "next": page.next and _address(kept, cursor=page.next),
        "previous": page.previous and _address(kept, cursor=page.previous),
    }
    answer = render(request, "books/results.html" if part else "books/home.html", facts)
    if part:
        answer.headers["HX-Push-Url"] = address
    # The browser must not reuse the fragment, cached under the same URL, for the page.
    patch_vary_headers(answer, ["HX-Request"])
    return answer


def _is_part(request: HttpRequest) -> bool:
    """Return whether htmx requests only the results, to swap them into the page."""
    htmx: Any = request.htmx  # type: ignore[attr-defined]  # django_htmx puts it there
    return bool(htmx) and not htmx.history_restore_request


def _address(query: QueryDict, **more: str) -> str:
    query = query.copy()
    query.update(more)
    return f"{reverse('home')}?{query.urlencode()}" if query else reverse("home")


def _found(wanted: dict[str, Any]) -> SearchResult:
    books: QuerySet[Book] = Book.objects.all()
    if wanted.get("kind"):
        books = books.filter(kind=KINDS[wanted["kind"]])
    if wanted.get("language"):
        books = books.filter(language=wanted["language"])
    if wanted.get("decade") is not None:
        books = in_decade(books, wanted["decade"])
    if wanted.get("available"):
        books = available_books(books)
    order = wanted.get("ordering")
    order = "-id" if order == NEWEST else order
    if wanted.get("search"):
        found = find(books, wanted["search"])
        return replace(found, books=in_order(found.books, order)) if order else found
    number, more = capped_count(books)
    return SearchResult(in_order(books, order or "-id"), number, more)


def _chips(form: CatalogueForm, kept: QueryDict) -> list[ActiveFilter]:
    chips = []
    for name in ("search", "kind", "language", "decade", "available"):
        if name not in kept:
            continue
        labels = {str(value): label for value, label in getattr(form.fields[name], "choices", ())}
        value = str(kept.dict()[name])
        label = form.fields[name].label if name == "available" else labels.get(value, value)
        without = kept.copy()
        del without[name]
        chips.append(ActiveFilter(str(label), _address(without)))
    return chips


@require_safe
def book(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a book, its prices and the member's next action."""
    now = clock.now()
    this: Any = get_object_or_404(Book, pk=pk)
    set_copy_counts([this])
    rental = hold = None
    if request.user.is_authenticated:
        open_rentals = Rental.objects.open().filter(user=request.user, copy__book=this)
        rental = next(iter(open_rentals.only("due_at").order_by()), None)
        if rental is None:
            hold = next(iter(Hold.objects.live().filter(user=request.user, book=this).order_by()), None)
    state = _state(this, rental, hold)
    quote = quote_for(request.user if request.user.is_authenticated else None, book=this, at=now)
    facts: dict[str, Any] = {
        "book": this,
        "state": state,
        "rental": rental,
        "hold": hold,
        "now": now,
        "examples": [quote.price(days) for days in EXAMPLES] if quote else [],
        "published": this.published and year_name(this.published),
        "back": _catalogue_before(request),
        "language": this.language and language_name(this.language, in_language=get_language() or "en"),
    }
    if hold and state == "waiting":
        facts["queue_estimate"] = wait_estimates([hold], at=now)[hold.pk]
    elif state == "out":
        facts["queue_estimate"] = queue_estimate = estimate_queue(this, at=now)
        facts["next_place"] = queue_estimate.waiting + 1
    address = reverse("book", args=[this.pk])
    facts["canonical"] = f"{settings.SITE_URL}{address}"
    facts["linked_data"] = _linked_data(this, facts["canonical"], facts["examples"])
    return render(request, "books/book.html", facts)


def _catalogue_before(request: HttpRequest) -> str:
    """Return the catalogue URL that the visitor came from, search included, else the whole catalogue's."""
    before = referring_page(request) or ""
    return before if before.split("?")[0] == reverse("home") else reverse("home")


def _state(book: Any, rental: Rental | None, hold: Hold | None) -> str:
    """Return the state that decides the page's main button."""
    if rental:
        return "rented"
    if hold:
        return "ready" if hold.status == Hold.Status.READY else "waiting"
    if book.available:
        return "free"
    return "out" if book.copies_in_service else "withdrawn"


def _linked_data(book: Any, address: str, examples: list[Price]) -> SafeString:
    """Return the book and its offer as JSON-LD for search engines, in the vocabulary of schema.org."""
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "Book",
        "@id": address,
        "url": address,
        "name": book.name,
    }
    data |= {"author": {"@type": "Person", "name": book.author}} if book.author else {}
    data |= {"isbn": book.isbn} if book.isbn else {}
    data |= {"inLanguage": book.language} if book.language else {}
    data |= {"description": book.description} if book.description else {}
    data |= {"genre": "Novel"} if book.kind == Kind.NOVEL else {}
    data |= {"genre": "Fiction"} if book.kind == Kind.FICTION else {}
    if book.published is not None and book.published > 0:
        data["datePublished"] = f"{book.published:04}"
    if book.cover:
        data["image"] = (
            f"{settings.SITE_URL}{book.cover.url}" if book.cover.url[:1] == "/" else book.cover.url
        )
    if examples:
        there = "InStock" if book.available else "BackOrder" if book.copies_in_service else "OutOfStock"
        data["offers"] = {
            "@type": "Offer",
            "url": address,
            "businessFunction": "http://purl.org/goodrelations/v1#LeaseOut",
            "availability": f"https://schema.org/{there}",
            "price": plain_amount(examples[0].total),
            "priceCurrency": settings.CURRENCY,
            "priceSpecification": {
                "@type": "UnitPriceSpecification",
                "price": plain_amount(examples[0].total),
                "priceCurrency": settings.CURRENCY,
                "referenceQuantity": {"@type": "QuantitativeValue", "value": 1, "unitCode": "DAY"},
            },
        }
    # HTML ends the script element at "</", even inside a JSON string.
    text = json.dumps(data, ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return mark_safe(text)  # noqa: S308  # nosec B308 B703  # <, > and & are escaped above.

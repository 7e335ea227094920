"""Pages of a member's rentals and holds, the rental history, and the calendar feed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from lori_assignment import clock
from lori_assignment.db.keyset_pagination import UnknownCursor, paginate
from lori_assignment.db.word_search import MAX_LENGTH, contains_words
from lori_assignment.errors import Refusal
from lori_assignment.http.member_pages import member_page, show_refusal
from rentals.calendar_feeds import find_feed, make_feed, render_ical, revoke_feed, secret_of
from rentals.models import CalendarFeed, Hold, Policy, Rental
from rentals.rental_summaries import summarize
from rentals.services import renew_rental
from rentals.views import MemberRequest
from rentals.wait_estimates import annotate_others_wait, wait_estimates

HISTORY_PAGE = 25


@require_safe
@member_page
def my_rentals(request: MemberRequest) -> HttpResponse:
    now = clock.now()
    member = request.user
    rentals: Any = annotate_others_wait(Rental.objects.open().filter(user=member).with_terms())
    policy = Policy.current()
    holds = list(Hold.objects.live().filter(user=member).select_related("book", "copy").order_by("pk"))
    places = wait_estimates(holds, at=now, policy=policy)
    feed = CalendarFeed.objects.filter(user=member).first()
    facts = {
        "summaries": [
            summarize(rental, at=now, policy=policy, others_wait=rental.others_wait)
            for rental in rentals.order_by("due_at", "ref")
        ],
        "ready": [hold for hold in holds if hold.status == Hold.Status.READY],
        "waiting": [(hold, places.get(hold.pk)) for hold in holds if hold.status == Hold.Status.WAITING],
        "feed": feed,
        "feed_link": _link(feed),
    }
    return render(request, "rentals/my_rentals.html", facts)


def _link(feed: CalendarFeed | None) -> str | None:
    secret = secret_of(feed) if feed else None
    return settings.SITE_URL + reverse("calendar-feed", args=[secret]) if secret else None


@require_POST
@member_page
def renew(request: MemberRequest, ref: int) -> HttpResponse:
    rental = get_object_or_404(Rental.objects.not_void().filter(user=request.user), ref=ref)
    try:
        renewed = renew_rental(rental=rental, at=clock.now())
    except Refusal as refusal:
        show_refusal(request, refusal)
    else:
        due = date_format(timezone.localtime(renewed.due_at), "DATE_FORMAT")
        messages.success(
            request,
            _("“%(book)s” has been renewed and is now due on %(due)s.")
            % {"book": renewed.book.name, "due": due},
        )
    return redirect("my-rentals")


@require_safe
@member_page
def history(request: MemberRequest) -> HttpResponse:
    """List returned rentals, the latest first, filtered by words of the title or the author."""
    search = " ".join(request.GET.get("search", "")[:MAX_LENGTH].replace("\x00", "").split())
    rentals = Rental.objects.returned().filter(user=request.user)
    if search:
        rentals = rentals.filter(contains_words(search, ["copy__book__name", "copy__book__author"]))
    rentals = rentals.with_terms().order_by("-returned_at", "-ref")
    try:
        page = paginate(rentals, size=HISTORY_PAGE, cursor=request.GET.get("cursor"))
    except UnknownCursor:
        raise Http404 from None
    return render(request, "rentals/history.html", {"page": page, "search": search})


@require_POST
@member_page
def make_calendar_link(request: MemberRequest) -> HttpResponse:
    _feed, is_first = make_feed(member=request.user, at=clock.now())
    if is_first:
        messages.success(request, _("Here is your calendar link."))
    else:
        messages.success(request, _("Here is your calendar link. Older links no longer work."))
    return redirect(reverse("my-rentals") + "#calendar")


@require_POST
@member_page
def revoke_calendar_link(request: MemberRequest) -> HttpResponse:
    revoke_feed(member=request.user)
    messages.success(request, _("Your calendar link no longer works."))
    return redirect(reverse("my-rentals") + "#calendar")


@require_safe
def calendar_feed(request: HttpRequest, secret: str) -> HttpResponse:
    """Serve the feed to a calendar program, which is authenticated by the secret alone."""
    feed = find_feed(secret)
    if feed is None:
        raise Http404
    return HttpResponse(
        render_ical(feed.user),
        content_type="text/calendar; charset=utf-8",
        headers={
            "Cache-Control": "private, no-store",
            "Content-Disposition": 'inline; filename="lori-books.ics"',
        },
    )

"""Pages for joining and leaving the queue for a book."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from books.models import Book
from lori_assignment import clock
from lori_assignment.errors import Refusal
from lori_assignment.http.member_pages import member_page, show_refusal
from rentals import errors
from rentals.holds import cancel_hold, place_hold
from rentals.models import Hold
from rentals.views import MemberRequest
from rentals.wait_estimates import wait_estimates


@member_page
def join_queue(request: MemberRequest, pk: int) -> HttpResponse:
    """Join the queue on POST, once even if sent twice. On GET, redirect to the page with the button."""
    book = get_object_or_404(Book, pk=pk)
    if request.method == "POST":
        now = clock.now()
        try:
            hold = place_hold(member=request.user, book=book, at=now)
        except Refusal as refusal:
            _show_refusal(request, refusal)
        else:
            place = wait_estimates([hold], at=now)[hold.pk].place
            messages.success(
                request,
                _(
                    "Hold placed. You're number %(place)d in line. We'll e-mail you when the book is "
                    "ready to collect."
                )
                % {"place": place},
            )
    return redirect("book", book.pk)


def _show_refusal(request: HttpRequest, refusal: Refusal) -> None:
    if any(isinstance(reason, errors.BookAvailable) for reason in refusal.reasons):
        messages.info(request, _("A copy has just become available. You can rent the book now."))
    elif any(isinstance(reason, errors.AlreadyWaiting) for reason in refusal.reasons):
        messages.info(request, _("You already have a hold on this book."))
    else:
        show_refusal(request, refusal)


@require_POST
@member_page
def leave_queue(request: MemberRequest, pk: int) -> HttpResponse:
    """Cancel the hold and redirect to the page that the form names, or else to the book."""
    hold = get_object_or_404(Hold.objects.filter(user=request.user).select_related("book"), pk=pk)
    try:
        cancel_hold(hold=hold, at=clock.now())
    except Refusal as refusal:
        show_refusal(request, refusal)
    else:
        messages.success(request, _("Your hold on “%(book)s” has been cancelled.") % {"book": hold.book.name})
    following = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(following, {request.get_host()}, request.is_secure()):
        return redirect(following)
    return redirect("book", hold.book_id)

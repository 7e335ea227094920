"""What the pages for people have in common. A leaf: imports Django and `errors` only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.utils.http import escape_leading_slashes, url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from lori_assignment import clock
from lori_assignment.errors import Refusal

View = Callable[..., HttpResponseBase]

# Long enough to sign in, short enough that the next person at this browser does not find it.
MAX_AGE = 15 * 60
MAX_KEPT_LENGTH = 20_000
# Neither goes into a session: the first proves nothing later, the others are secrets.
SECRET_FIELDS = ("csrfmiddlewaretoken", "password", "otp", "code")


def member_page(view: View) -> View:
    """Opens a page to whoever is signed in, and leads others to the sign-in and back here.

    What a person typed into a form after the session had ended is kept, and comes back through
    `unsent_form`.
    """

    @wraps(view)
    def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            # Nobody sees it after the sign-out by the button that goes back, nor from a shared cache.
            answer = view(request, *args, **kwargs)
            answer.headers.setdefault("Cache-Control", "private, no-cache, no-store")
            return answer
        if request.method == "POST":
            _store_unsent(request)
        return _sign_in_first(request)

    return opened


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    back = request.get_full_path()
    if request.method == "POST" or request.htmx:  # type: ignore[attr-defined]  # django_htmx puts it there
        # Where the button stood: an address that takes a POST only has no page, a part of one neither.
        back = referring_page(request) or back
    answer = redirect_to_login(back)
    if request.htmx:  # type: ignore[attr-defined]  # as above
        # Else the sign-in page would be put into the middle of this one.
        return HttpResponse(headers={"HX-Redirect": answer.headers["Location"]})
    return answer


def referring_page(request: HttpRequest) -> str | None:
    """The path of the page of this shop that led here, as the browser says; None where it does not."""
    before = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    if not before or not url_has_allowed_host_and_scheme(before, {request.get_host()}):
        return None
    address = urlsplit(before)
    # Two slashes at its beginning, and what follows were a host.
    path = escape_leading_slashes(address.path)
    return f"{path}?{address.query}" if address.query else path


def unsecret_post_data(request: HttpRequest) -> dict[str, list[str]]:
    """What a form brought that may be shown again: no secrets, no files."""
    return {
        name: values
        for name, values in request.POST.lists()
        if not any(secret in name.lower() for secret in SECRET_FIELDS)
    }


def _store_unsent(request: HttpRequest) -> None:
    typed = unsecret_post_data(request)
    if typed and sum(len(text) for values in typed.values() for text in values) <= MAX_KEPT_LENGTH:
        request.session["unsent"] = {"path": request.path, "at": clock.now().timestamp(), "typed": typed}


def unsent_form(request: HttpRequest) -> QueryDict | None:
    """What was typed into the form of this path and could not be sent because the session had ended.

    To be bound to the form, once: it is forgotten with the asking.
    """
    kept = request.session.get("unsent")
    if not kept or kept["path"] != request.path:
        return None
    del request.session["unsent"]
    if clock.now().timestamp() - kept["at"] > MAX_AGE:
        return None
    typed = QueryDict(mutable=True)
    for name, values in kept["typed"].items():
        typed.setlist(name, values)
    messages.info(request, _("Your session had ended before this was sent. It is all here: send it again."))
    return typed


def show_refusal(request: HttpRequest, refusal: Refusal) -> None:
    """Show every reason of a refusal on the next page, in the words that the API uses."""
    for reason in refusal.reasons:
        messages.error(request, str(reason.message))

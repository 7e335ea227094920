"""Helpers for the members' pages: login, forms that outlive a session, and messages for refusals."""

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
# Not stored in a session: the first is useless later, the others are secrets.
SECRET_FIELDS = ("csrfmiddlewaretoken", "password", "otp", "code")


def member_page(view: View) -> View:
    """Require a login for a page; after signing in, the user comes back to it.

    A form that is sent after the session has ended is stored; `unsent_form` returns it.
    """

    @wraps(view)
    def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            # Neither the back button after signing out nor a shared cache may show the page.
            answer = view(request, *args, **kwargs)
            answer.headers.setdefault("Cache-Control", "private, no-cache, no-store")
            return answer
        if request.method == "POST":
            _store_unsent(request)
        return _sign_in_first(request)

    return opened


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    back = request.get_full_path()
    if request.method == "POST" or request.htmx:  # type: ignore[attr-defined]  # set by django_htmx
        # Back to the page with the button: a path for POST only has no page, nor has a fragment.
        back = referring_page(request) or back
    answer = redirect_to_login(back)
    if request.htmx:  # type: ignore[attr-defined]  # as above
        # Otherwise htmx would insert the sign-in page into this one.
        return HttpResponse(headers={"HX-Redirect": answer.headers["Location"]})
    return answer


def referring_page(request: HttpRequest) -> str | None:
    """Return the path of our page that the request came from; None if the browser does not name one."""
    before = request.headers.get("HX-Current-URL") or request.headers.get("Referer", "")
    if not before or not url_has_allowed_host_and_scheme(before, {request.get_host()}):
        return None
    address = urlsplit(before)
    # After two leading slashes the rest would be read as a host.
    path = escape_leading_slashes(address.path)
    return f"{path}?{address.query}" if address.query else path


def unsecret_post_data(request: HttpRequest) -> dict[str, list[str]]:
    """Return the submitted fields that may be shown again: no secrets, no files."""
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
    """Return what was sent to this path after the session had ended, to be bound to the form.

    It is returned only once, and not after MAX_AGE.
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
    messages.info(
        request,
        _(
            "Your session ended before this was sent. Nothing is lost: check your entries and send "
            "them again."
        ),
    )
    return typed


def show_refusal(request: HttpRequest, refusal: Refusal) -> None:
    """Show every reason of a refusal on the next page, with the API's messages."""
    for reason in refusal.reasons:
        messages.error(request, str(reason.message))

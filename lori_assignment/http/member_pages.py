"""Helpers for the members' pages: login, forms that outlive a session, and messages for refusals."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.urls import resolve
from django.utils.http import escape_leading_slashes, url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from lori_assignment import clock
from lori_assignment.errors import Refusal

View = Callable[..., HttpResponseBase]

# Long enough to sign in, short enough that the next person at this browser does not find it.
MAX_AGE = 15 * 60
# More than any of the members' forms takes.
MAX_UNSENT_LENGTH = 5_000
# The name of the hidden field that carries an unsent form through the sign-in.
UNSENT = "unsent"
# The name of the hidden field that says for which member a form was made.
FORM_OWNER = "form_owner"
# Not shown again: the first is useless later, the others are secrets.
SECRET_FIELDS = ("csrfmiddlewaretoken", "password", "otp", "code")


def member_page(view: View) -> View:
    """Require a login for a page; after signing in, the user comes back to it."""

    @wraps(view)
    def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            # Neither the back button after signing out nor a shared cache may show the page.
            answer = view(request, *args, **kwargs)
            answer.headers.setdefault("Cache-Control", "private, no-cache, no-store")
            return answer
        return _sign_in_first(request)

    return opened


def member_form(view: View) -> View:
    """Like `member_page`, for a form; if it is sent after the session has ended, `unsent_form` returns it.

    What a visitor typed is not stored. It travels through the pages of the sign-in in a signed hidden field
    (`{% unsent_field %}`), and is kept in the session that then begins. The form has `{% form_owner %}`: what
    it contains goes to that member only, even if another one has signed in meanwhile.
    """
    page = member_page(view)

    @wraps(view)
    def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and _form_owner(request) not in (None, request.user.pk):
            messages.warning(
                request,
                _("Your session ended or changed after you opened this page. Nothing has been changed."),
            )
            return redirect(request.path)
        answer = page(request, *args, **kwargs)
        if request.method != "POST" or request.user.is_authenticated or not answer.has_header("Location"):
            return answer
        unsent = _sign_unsent(request)
        return _page_instead(request, answer, unsent=unsent) if unsent else answer

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


def sign_form_owner(user: AbstractBaseUser) -> str:
    """Return the value of the hidden field by which a form says for which member its page was made."""
    return signing.dumps(user.pk, salt=FORM_OWNER)


def _form_owner(request: HttpRequest) -> int | None:
    """Return the id of the member for whom the submitted form was made; None if it does not say."""
    try:
        owner: int = signing.loads(request.POST.get(FORM_OWNER, ""), salt=FORM_OWNER)
    except signing.BadSignature:
        return None
    return owner


def _sign_unsent(request: HttpRequest) -> str:
    """Return what was submitted as a signed text; empty if it is nothing, too much, or nobody's."""
    owner = _form_owner(request)
    if owner is None:
        return ""
    typed = unsecret_post_data(request)
    del typed[FORM_OWNER]
    length = sum(len(name) + len(text) for name, values in typed.items() for text in values)
    if not 0 < length <= MAX_UNSENT_LENGTH:
        return ""
    unsent = {"owner": owner, "path": request.path, "at": clock.now().timestamp(), "typed": typed}
    return signing.dumps(unsent, salt=UNSENT, compress=True)


def _page_instead(request: HttpRequest, answer: HttpResponseBase, *, unsent: str) -> HttpResponseBase:
    """Return the page to which `answer` redirects, because a redirect cannot carry `unsent`."""
    place = urlsplit(answer.headers["Location"])
    # The request itself is still to be logged and counted as what it is.
    page = copy(request)
    page.method, page.path, page.path_info = "GET", place.path, place.path
    page.GET = QueryDict(place.query)
    page.resolver_match = match = resolve(place.path)
    page.unsent = unsent  # type: ignore[attr-defined]  # for `unsent_field`
    view: View = match.func
    shown = view(page, *match.args, **match.kwargs)
    shown.headers["Cache-Control"] = "private, no-cache, no-store"
    return shown


def carried_unsent(request: HttpRequest) -> str:
    """Return the unsent form that this page of the sign-in has to pass on; empty if there is none."""
    return getattr(request, "unsent", "") or request.POST.get(UNSENT, "")


def carry_unsent(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """Return `answer`, or the page to which it redirects if the sign-in goes on there with an unsent form."""
    unsent = carried_unsent(request)
    if not unsent or request.user.is_authenticated or not answer.has_header("Location"):
        return answer
    return _page_instead(request, answer, unsent=unsent)


def keep_unsent(request: HttpRequest) -> None:
    """Keep an unsent form, which came through the sign-in, in the session that has just begun.

    It is dropped if somebody else has signed in.
    """
    try:
        unsent = signing.loads(request.POST.get(UNSENT, ""), salt=UNSENT, max_age=MAX_AGE)
    except signing.BadSignature:
        return
    if unsent.get("owner") == request.user.pk:
        request.session[UNSENT] = unsent


def unsent_form(request: HttpRequest) -> QueryDict | None:
    """Return what was sent to this path after the session had ended, to be bound to the form.

    It is returned only once, and not after MAX_AGE.
    """
    kept = request.session.get(UNSENT)
    if not kept or kept["path"] != request.path:
        return None
    del request.session[UNSENT]
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

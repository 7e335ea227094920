"""What every answer says to browsers, pages and errors, files and redirects alike."""

from __future__ import annotations

from collections.abc import Callable

from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

# The browser's features that no page of ours asks for; passkeys are for our own pages only.
UNUSED = (
    "accelerometer",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "usb",
)
POLICY = "Content-Security-Policy"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # For browsers that don't know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        [*(f"{feature}=()" for feature in UNUSED), "publickey-credentials-get=(self)"]
    ),
}
# Of what is no page, and loads nothing.
BARE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

NO_STORE = "private, no-cache, no-store"
# Whoever keeps it asks each time whether it still holds, by its ETag where it has one.
ASK_AGAIN = "no-cache"
# Below these everything is somebody's own, or a token.
OWN_PLACES = ("/user/", "/admin/", "/api-token-", "/api/rest-auth/")
# Of the API, what is the same for whoever asks.
PUBLIC_RESOURCES = ("books", "price_lists")


class SafetyHeadersMiddleware:
    """The outermost: nothing that another one answers by itself gets past it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        # Django's own pages of errors for developers are written otherwise.
        if not settings.DEBUG:
            response.headers.setdefault(POLICY, self.policy)
        if "Cache-Control" not in response.headers:
            if is_personal(request):
                response.headers["Cache-Control"] = NO_STORE
            elif request.path.startswith("/api/"):
                response.headers["Cache-Control"] = ASK_AGAIN
        return response


def is_personal(request: HttpRequest) -> bool:
    """May the answer be somebody's own? Nobody sees it after them, nor from a shared cache.

    Told without a query: a page that has not asked who is signed in shows nothing of theirs.
    """
    if request.path.startswith(OWN_PLACES):
        return True
    if request.path.startswith("/api/"):
        resource = [*request.path.split("/"), "", ""][3]
        return resource not in PUBLIC_RESOURCES
    user = getattr(request, "_cached_user", None)
    return user is not None and user.is_authenticated

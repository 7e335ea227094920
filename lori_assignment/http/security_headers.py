"""Sets Cache-Control on every response, and the security headers that Django has no setting for."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

# Browser features that no page uses. Passkeys are for our own pages only.
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
# The security headers that none of Django's middleware sets.
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        [*(f"{feature}=()" for feature in UNUSED), "publickey-credentials-get=(self)"]
    ),
}

NO_STORE = "private, no-cache, no-store"
# A cache revalidates the response each time, by its ETag if it has one.
REVALIDATE = "no-cache"
# Everything below these paths is personal data or a token.
OWN_PLACES = ("/user/", "/admin/", "/api-token-", "/api/rest-auth/")
# Resources of the API that are the same for everybody.
PUBLIC_RESOURCES = ("books", "price_lists")


class SecurityHeadersMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if "Cache-Control" not in response.headers:
            if is_personal(request):
                response.headers["Cache-Control"] = NO_STORE
            elif request.path.startswith("/api/"):
                response.headers["Cache-Control"] = REVALIDATE
        return response


def is_personal(request: HttpRequest) -> bool:
    """Whether the response may contain personal data, which no cache may store.

    Decided without a query: a page that has not loaded the user shows nothing personal.
    """
    if request.path.startswith(OWN_PLACES):
        return True
    if request.path.startswith("/api/"):
        resource = [*request.path.split("/"), "", ""][3]
        return resource not in PUBLIC_RESOURCES
    user = getattr(request, "_cached_user", None)
    return user is not None and user.is_authenticated

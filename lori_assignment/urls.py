"""Every address of the shop."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView

from accounts.views import choose_language
from lori_assignment import api, api_docs
from lori_assignment.front import front
from lori_assignment.media import COVER, cover


@require_safe
def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """For whoever asks without reading the page: the administration's and Swagger's name none of ours."""
    return HttpResponseRedirect(static("icon.svg"))


urlpatterns: list[URLPattern | URLResolver] = [
    # First, because it is asked most, and what stands before is tried before.
    *api.urlpatterns,
    path("", front, name="front"),
    path("", include("books.urls")),
    path("", include("rentals.urls")),
    *api_docs.urlpatterns,
    path("admin/", admin.site.urls),
    path("favicon.ico", favicon, name="favicon"),
    path(
        "robots.txt",
        TemplateView.as_view(template_name="robots.txt", content_type="text/plain; charset=utf-8"),
        name="robots",
    ),
    path("language/", choose_language, name="language"),
    path("user/", include("accounts.urls")),
    # Last: dj-rest-auth has routes of the same names that lead nowhere.
    path("user/", include("allauth.urls")),
]

if settings.MEDIA_URL.startswith("/"):
    # Elsewhere somebody else gives them out.
    urlpatterns.append(re_path(rf"^{settings.MEDIA_URL.strip('/')}/(?P<name>{COVER})\Z", cover, name="cover"))

handler400 = "lori_assignment.outer_errors.bad_request"
handler403 = "lori_assignment.outer_errors.permission_denied"
handler404 = "lori_assignment.outer_errors.not_found"
# allauth's name for what answers its own limits.
handler429 = "lori_assignment.outer_errors.too_many_requests"
handler500 = "lori_assignment.outer_errors.server_error"

"""The root URLconf."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView

from accounts.views import choose_language
from books.cover_files import COVER, cover
from lori_assignment import api_urls
from lori_assignment.rest import schema
from rentals.views.front import front


@require_safe
def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Redirect to our icon from pages that do not name it: the administration's and Swagger's."""
    return HttpResponseRedirect(static("icon.svg"))


urlpatterns: list[URLPattern | URLResolver] = [
    # First, because the API gets most requests, and patterns are tried in order.
    *api_urls.urlpatterns,
    path("", front, name="front"),
    path("", include("books.urls")),
    path("", include("rentals.urls")),
    *schema.urlpatterns,
    path("admin/", admin.site.urls),
    path("favicon.ico", favicon, name="favicon"),
    path(
        "robots.txt",
        TemplateView.as_view(template_name="robots.txt", content_type="text/plain; charset=utf-8"),
        name="robots",
    ),
    path("language/", choose_language, name="language"),
    path("user/", include("accounts.urls")),
    # Last, so that reverse() finds these: dj-rest-auth has placeholder routes of the same names.
    path("user/", include("allauth.urls")),
]

if settings.MEDIA_URL.startswith("/"):
    # Otherwise another host serves the covers.
    urlpatterns.append(re_path(rf"^{settings.MEDIA_URL.strip('/')}/(?P<name>{COVER})\Z", cover, name="cover"))

handler400 = "lori_assignment.http.error_handlers.bad_request"
handler403 = "lori_assignment.http.error_handlers.permission_denied"
handler404 = "lori_assignment.http.error_handlers.not_found"
# allauth calls this for its own limits.
handler429 = "lori_assignment.http.error_handlers.too_many_requests"
handler500 = "lori_assignment.http.error_handlers.server_error"

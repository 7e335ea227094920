"""Every address of the shop."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView, TemplateView
from django.views.static import serve

from lori_assignment import api, api_docs

urlpatterns: list[URLPattern | URLResolver] = [
    path("", TemplateView.as_view(template_name="front.html"), name="front"),
    *api.urlpatterns,
    *api_docs.urlpatterns,
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/icon.svg", permanent=True)),
    # Last: dj-rest-auth has routes of the same names that lead nowhere.
    path("user/", include("allauth.urls")),
]

if settings.MEDIA_URL.startswith("/"):
    # The covers lie on this machine's disk; where they lie in a bucket, MEDIA_URL is its address.
    urlpatterns.append(
        re_path(
            rf"^{settings.MEDIA_URL.strip('/')}/(?P<path>.+)$", serve, {"document_root": settings.MEDIA_ROOT}
        )
    )

handler400 = "lori_assignment.api_errors.answer_400"
handler403 = "lori_assignment.api_errors.answer_403"
handler404 = "lori_assignment.api_errors.answer_404"
handler500 = "lori_assignment.api_errors.answer_500"

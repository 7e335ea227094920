"""The addresses below /user/ that are ours; the others are allauth's."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("signup/", views.SignUpPage.as_view(), name="account_signup"),
    path("email/", views.EmailPage.as_view(), name="account_email"),
    path("token/renew/", views.renew_token, name="renew-token"),
]

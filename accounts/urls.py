"""The shop's own URLs below /user/; the others are allauth's."""

from django.urls import path, re_path

from accounts import views

urlpatterns = [
    path("login/", views.SignInPage.as_view(), name="account_login"),
    path("2fa/webauthn/login/", views.PasskeySignInPage.as_view(), name="mfa_login_webauthn"),
    path("signup/", views.SignUpPage.as_view(), name="account_signup"),
    path("email/", views.EmailPage.as_view(), name="account_email"),
    re_path(
        r"^confirm-email/(?P<key>[-:\w]+)/$", views.ConfirmEmailPage.as_view(), name="account_confirm_email"
    ),
    path("profile/", views.profile, name="profile"),
    # Replaces allauth's list of the same name, whose queries grow with the number of sessions.
    path("sessions/", views.sessions, name="usersessions_list"),
    path("sessions/<int:pk>/end/", views.sign_out_browser, name="end-session"),
    path("sessions/end/", views.sign_out_other_browsers, name="end-other-sessions"),
    path("data/", views.your_data, name="your-data"),
    path("data/download/", views.download_data, name="download-data"),
    path("close/", views.close, name="close-account"),
    path("token/renew/", views.renew_token, name="renew-token"),
]

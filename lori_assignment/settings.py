"""Settings, read from the environment and from `.env` next to manage.py, which `make` writes.

docs/reference.md lists the variables. With DEBUG off, the shop does not start if a value is missing or
unsafe; the error names the variable.
"""

import hashlib
import hmac
import re
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ
from babel.numbers import get_currency_precision, is_currency
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from lori_assignment.server.environment import read_environment

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")


def _demand(condition: bool, sentence: str) -> None:
    if not condition:
        raise ImproperlyConfigured(sentence)


def _address(name: str, read: Callable[..., dict[str, Any]], default: str) -> dict[str, Any]:
    """Parse the URL in a variable with django-environ. Raises ImproperlyConfigured."""
    known = {"django.db.backends.postgresql", "django.db.backends.sqlite3"}
    try:
        with warnings.catch_warnings(action="ignore"):  # Only our own message is shown.
            found = read(name, default=default)
    except (ValueError, KeyError, ImproperlyConfigured):
        found = {}
    _demand("EMAIL_BACKEND" in found or found.get("ENGINE") in known, f"{name} is not a supported URL.")
    return found


def _is_origin(text: str) -> bool:
    """Whether `text` is a scheme and a host, and perhaps a port, such as https://shop.example."""
    try:
        port = urlsplit(text).port
    except ValueError:
        return False
    return port != 0 and re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?", text) is not None


def _folder(path: str | Path, name: str) -> None:
    """Create the folder that a variable names. Raises ImproperlyConfigured."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError):
        raise ImproperlyConfigured(f"{name} must be in a folder that exists or can be created.") from None


# gunicorn's own, which it has read already. A command refuses them too, and not only the server after it.
try:
    read_environment()
except ValueError as _problem:
    raise ImproperlyConfigured(str(_problem)) from None

# ---------------------------------------------------------------- required in production

_debug = env.str("DEBUG", default="off").lower()
_demand(_debug in {"on", "off", "true", "false", "1", "0", "yes", "no"}, "DEBUG must be on or off.")
DEBUG = _debug in {"on", "true", "1", "yes"}

# A secret in AWS Secrets Manager supplies the variables that are not set.
SECRET_ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[\w/+=.@!-]+", re.ASCII)
APP_SECRET_ARN = env.str("APP_SECRET_ARN", default="")
_held: dict[str, str] = {}
if APP_SECRET_ARN and not {"SECRET_KEY", "METRICS_TOKEN"} <= set(env.ENVIRON):
    # boto3 is loaded only where AWS is used.
    from lori_assignment.aws.secrets import SecretUnreadable, read_secret

    _demand(SECRET_ARN.fullmatch(APP_SECRET_ARN) is not None, "APP_SECRET_ARN must be the ARN of a secret.")
    try:
        _held = read_secret(APP_SECRET_ARN)
    except SecretUnreadable as _problem:
        raise ImproperlyConfigured(f"The secret in APP_SECRET_ARN can't be read: {_problem}.") from None


def _secret(name: str, default: str = "") -> str:
    """Read a secret. django-environ would read a default that begins with $ as the name of a variable."""
    return env.str(name) if name in env.ENVIRON else _held.get(name, default)


SECRET_KEY = _secret("SECRET_KEY", "only-for-development-" * 3 if DEBUG else "")
_demand(bool(SECRET_KEY), "SECRET_KEY is not set. Use at least 50 random characters.")
_demand(
    DEBUG or (len(SECRET_KEY) >= 50 and len(set(SECRET_KEY)) >= 5 and "only-for-dev" not in SECRET_KEY),
    "SECRET_KEY is too weak. Use at least 50 random characters.",
)

# Without a token /metrics answers 404.
METRICS_TOKEN = _secret("METRICS_TOKEN")
_demand(
    not METRICS_TOKEN or (len(METRICS_TOKEN) >= 32 and len(set(METRICS_TOKEN)) >= 5),
    "METRICS_TOKEN is too weak. Use at least 32 random characters.",
)

# Signs the API's tokens. It differs from SECRET_KEY, so that a leaked key, or one guessed from many tokens,
# cannot forge sessions and mailed links. It is derived by default, so that there is one secret fewer to keep.
# A new key invalidates every token and nothing else.
TOKEN_SIGNING_KEY = (
    _secret("TOKEN_SIGNING_KEY") or hmac.digest(SECRET_KEY.encode(), b"lori tokens", hashlib.sha256).hex()
)
_demand(
    len(TOKEN_SIGNING_KEY) >= 50 and len(set(TOKEN_SIGNING_KEY)) >= 5 and TOKEN_SIGNING_KEY != SECRET_KEY,
    "TOKEN_SIGNING_KEY is too weak. Use at least 50 random characters, different from SECRET_KEY.",
)

# The public URL of the shop. Its scheme decides whether cookies and links require https.
SITE_URL = env.str("SITE_URL", default="http://localhost:8000" if DEBUG else "").rstrip("/")
_demand(
    _is_origin(SITE_URL),
    "SITE_URL is not set to the shop's address, such as https://shop.example.",
)
_site = urlsplit(SITE_URL)
SITE_IS_LOCAL = _site.hostname in {"localhost", "127.0.0.1", "::1"}
_demand(
    DEBUG or _site.scheme == "https" or SITE_IS_LOCAL,
    "SITE_URL must use https, or passwords and tokens are sent unencrypted.",
)
_demand(
    SITE_IS_LOCAL or not DEBUG,
    "DEBUG must be off where SITE_URL is public, or error pages show settings and data to anybody.",
)

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"] if DEBUG else [])
_demand(bool(ALLOWED_HOSTS), "ALLOWED_HOSTS is not set. List the shop's host names.")
_demand(
    DEBUG or "*" not in ALLOWED_HOSTS, "ALLOWED_HOSTS must list host names; * would accept any Host header."
)
_demand(
    all(_host == "*" or _is_origin(f"http://{_host}") for _host in ALLOWED_HOSTS)
    and not re.search(r":[0-9]+(,|$)", ",".join(ALLOWED_HOSTS)),
    "ALLOWED_HOSTS must list host names without scheme, port and path, such as shop.example.",
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL])
_demand(
    all(_is_origin(_origin.replace("://*.", "://", 1)) for _origin in CSRF_TRUSTED_ORIGINS),
    "CSRF_TRUSTED_ORIGINS must list addresses such as https://shop.example.",
)

TIME_ZONE = env.str("TIME_ZONE", default="UTC")
_demand(
    TIME_ZONE in available_timezones(),
    f"TIME_ZONE {TIME_ZONE!r} is not a time zone name such as Europe/Rome.",
)

CURRENCY = env.str("CURRENCY", default="USD")
# Amounts are stored with three decimal places.
_demand(
    is_currency(CURRENCY) and get_currency_precision(CURRENCY) <= 3,
    f"CURRENCY must be an ISO 4217 code in capitals, such as USD, with at most 3 decimals, not {CURRENCY!r}.",
)

# `off` is for load tests only: without limits, passwords can be guessed at full speed.
RATE_LIMITS = env.str("RATE_LIMITS", default="on")
_demand(RATE_LIMITS in {"on", "off"}, "RATE_LIMITS must be on or off.")

# Whether staff need a second factor on the pages, in the API and in the administration.
_second_factor = env.str("STAFF_SECOND_FACTOR", default="off")
_demand(_second_factor in {"on", "off"}, "STAFF_SECOND_FACTOR must be on or off.")
STAFF_SECOND_FACTOR = _second_factor == "on"

# The number of proxies in front. The client's address is the entry at this position from the right of
# X-Forwarded-For; entries further left are not trusted.
_proxies = env.str("TRUSTED_PROXIES", default="0")
_demand(re.fullmatch("[0-9]{1,2}", _proxies) is not None, "TRUSTED_PROXIES must be a number from 0 to 99.")
TRUSTED_PROXIES = int(_proxies)

# ---------------------------------------------------------------- applications

INSTALLED_APPS = [
    # Before the apps whose commands they override: migrate and createsuperuser.
    "lori_assignment",
    "accounts",
    "whitenoise.runserver_nostatic",
    "lori_assignment.apps.ShopAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "lori_assignment.apps.StaticFilesConfig",
    # FORM_RENDERER finds the templates of fields and widgets here and in the administration.
    "django.forms",
    "csp",
    "django_guid",
    "django_htmx",
    "lucide",
    "rest_framework",
    "dj_rest_auth",
    "allauth",
    "allauth.account",
    # dj_rest_auth.registration does not load without it; no social provider is configured.
    "allauth.socialaccount",
    "allauth.mfa",
    "accounts.apps.SessionsConfig",
    "dj_rest_auth.registration",
    "django_filters",
    "drf_yasg",
    "books",
    "rentals",
]

# A comment above each middleware of our own says what it does.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django_guid.middleware.guid_middleware",
    # Sets Cache-Control, and the security headers that Django has no setting for, on every response.
    "lori_assignment.http.security_headers.SecurityHeadersMiddleware",
    # Answers health checks and /metrics before the Host is checked, since they are requested by the pod's
    # address, and counts all other responses by route.
    "lori_assignment.observability.metrics.MonitoringMiddleware",
    # Answers anonymous requests for the catalogue from a cache, without everything below.
    "lori_assignment.caching.response_cache.ResponseCacheMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Compresses as Django does, except responses with a strong ETag, which If-Match has to match.
    "lori_assignment.http.compression.CompressionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    # Sets and deletes the cookies with a browser's tokens after signing in or out.
    "accounts.web_tokens.WebTokensMiddleware",
    # Redirects staff who need a second factor and have none to the page that sets one up.
    "accounts.second_factor.StaffSecondFactorMiddleware",
    # Rejects requests by method, size and encoding before a view parses them, and turns Throttled into 429.
    "lori_assignment.http.request_limits.RequestLimitsMiddleware",
]

ROOT_URLCONF = "lori_assignment.urls"
WSGI_APPLICATION = "lori_assignment.wsgi.application"
TEST_RUNNER = "lori_assignment.testing.runner.LoriTestRunner"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
        },
    },
]
# Form fields are rendered with the templates in templates/django/forms/.
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

USE_I18N = True
USE_TZ = True
# For visitors without a preference, and for texts without a particular reader.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "lori_assignment" / "locale"]
LANGUAGE_COOKIE_SAMESITE = "Lax"

# ---------------------------------------------------------------- database and cache

_demand(
    DEBUG or "DATABASE_URL" in env.ENVIRON,
    "DATABASE_URL is not set. Use the form postgres://user:password@host/name.",
)
DATABASES = {
    "default": _address("DATABASE_URL", env.db, f"sqlite:///{BASE_DIR / 'var' / 'shop.sqlite3'}"),
}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    # Writers wait at BEGIN instead of failing half-way: a deferred transaction that writes after it has read
    # fails at once if another has written in between.
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;",
    }
    # The threads of a race test can share a file, but not a database in memory.
    _database["TEST"] = {"NAME": env.str("SQLITE_TEST_FILE", default=str(BASE_DIR / "var" / "test.sqlite3"))}
    if _database["NAME"] != ":memory:":
        _database["NAME"] = str(BASE_DIR / _database["NAME"])
    _folder(Path(_database["NAME"]).parent, "DATABASE_URL")
    _folder(Path(_database["TEST"]["NAME"]).parent, "SQLITE_TEST_FILE")
    _database["ENGINE"] = "lori_assignment.db.backends.sqlite"
else:
    _database["ENGINE"] = "lori_assignment.db.backends.postgresql"
    _database["CONN_MAX_AGE"] = 600
    _database["CONN_HEALTH_CHECKS"] = True
    # A server that vanishes, as in a failover, is given up within seconds instead of minutes, because each
    # request that waits for it occupies a thread.
    _database["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        **_database.get("OPTIONS", {}),
    }

# A secret with the database's user name and password, which are read again after they have changed.
DATABASE_SECRET_ARN = env.str("DATABASE_SECRET_ARN", default="")
if DATABASE_SECRET_ARN:
    _demand(
        SECRET_ARN.fullmatch(DATABASE_SECRET_ARN) is not None,
        "DATABASE_SECRET_ARN must be the ARN of a secret.",
    )
    _demand(
        _database["ENGINE"] == "lori_assignment.db.backends.postgresql" and not _database["PASSWORD"],
        "With DATABASE_SECRET_ARN, DATABASE_URL must be postgres://host/name without a password.",
    )
    _database["ENGINE"] = "lori_assignment.db.backends.rotating_password"
    _database["SECRET_ARN"] = DATABASE_SECRET_ARN

# In the database, because all workers share the counts of rate limits.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
        # With the default of 300, other counts would evict those of a client that is over its limit.
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    }
}

# ---------------------------------------------------------------- request bodies

# A tenth of this is enough for the longest form of a page, or for all rows of a list; the rest is for the
# description of a book. Decoding takes up to a microsecond for each byte. The limit of uploads is in
# `lori_assignment.http.request_limits`.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
# Of a form or a query. The longest form names the permissions of a group.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 250

# ---------------------------------------------------------------- files

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "var" / "static")))
# collectstatic empties it.
_demand(
    STATIC_ROOT.resolve() not in {BASE_DIR, *BASE_DIR.parents}, "STATIC_ROOT must be a folder of its own."
)
_folder(STATIC_ROOT, "STATIC_ROOT")
STATICFILES_DIRS = [BASE_DIR / "static"]
# With DEBUG, and in tests, files are served from their source folders. In production `collectstatic`
# compresses each and names it after its content, so that a browser can cache it for ever.
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
MEDIA_URL = env.str("MEDIA_URL", default="/media/")
_demand(
    (_media := re.fullmatch(r"([^/]+//[^/]+)?/([\w.~-]+/)*", MEDIA_URL)) is not None
    and (_media[1] is None or _is_origin(_media[1])),
    "MEDIA_URL must be a path such as /media/ or an address such as https://covers.example/.",
)
MEDIA_ROOT = env.path("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media"))
# If set, covers are stored in the bucket and not in MEDIA_ROOT; the shop still serves them at MEDIA_URL.
MEDIA_BUCKET = env.str("MEDIA_BUCKET", default="")
AWS_REGION = env.str("AWS_REGION", default="")
_demand(
    not MEDIA_BUCKET or re.fullmatch("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", MEDIA_BUCKET) is not None,
    "MEDIA_BUCKET must be a valid bucket name.",
)
_demand(
    not MEDIA_BUCKET or re.fullmatch("[a-z]{2}(-[a-z]+)+-[0-9]", AWS_REGION) is not None,
    "AWS_REGION is not set to the region of MEDIA_BUCKET, such as eu-central-1.",
)
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
if MEDIA_BUCKET:
    # Imported only here, since boto3 takes time and memory.
    from boto3.s3.transfer import TransferConfig

    from lori_assignment.aws.secrets import BOTO_CONFIG

    STORAGES["default"] = {
        "BACKEND": "lori_assignment.aws.s3_storage.Bucket",
        "OPTIONS": {
            "bucket_name": MEDIA_BUCKET,
            "region_name": AWS_REGION,
            "file_overwrite": False,
            "client_config": BOTO_CONFIG,
            # Covers are small enough to be sent in one piece.
            "transfer_config": TransferConfig(use_threads=False),
        },
    }

# ---------------------------------------------------------------- mail

_demand(
    DEBUG or "EMAIL_URL" in env.ENVIRON,
    "EMAIL_URL is not set, but password resets need e-mail. Use smtp+tls://user:password@host:587 or ses://region.",
)
_ses = re.fullmatch("ses://([a-z]{2}(?:-[a-z]+)+-[0-9])", env.str("EMAIL_URL", default=""))
_email = (
    {"EMAIL_BACKEND": "lori_assignment.aws.ses_email.SESEmailBackend"}
    if _ses
    else _address("EMAIL_URL", env.email_url, "consolemail://")
)
EMAIL_BACKEND = _email["EMAIL_BACKEND"]
EMAIL_HOST = _email.get("EMAIL_HOST", "")
EMAIL_PORT = _email.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _email.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _email.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _email.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _email.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
AWS_SES_REGION_NAME = _ses.group(1) if _ses else ""
# None means the default endpoint of the region.
AWS_SES_REGION_ENDPOINT_URL = None
USE_SES_V2 = True
# Throttling would query the sending quota before each mail, which the shop's role does not permit.
AWS_SES_AUTO_THROTTLE = None
# Mail is sent after the commit. Mail that anybody can request is sent in a thread, because the response time
# would otherwise reveal who has an account.
MAIL_IN_BACKGROUND = True
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default=f"Lori Books <no-reply@{_site.hostname}>")
_demand(
    re.fullmatch(r"([^\r\n<>]*<)?[^\s@<>]+@[^\s@<>]+>?", DEFAULT_FROM_EMAIL) is not None,
    "DEFAULT_FROM_EMAIL must be an e-mail address, such as Lori Books <desk@shop.example>.",
)

# ---------------------------------------------------------------- transport security

_https = _site.scheme == "https"
SECURE_SSL_REDIRECT = _https
# A client that calls the API over http has already sent its token in the clear, so it is refused by
# `lori_assignment.http.request_limits` and not redirected. Health checks and the collector of metrics use
# plain http to a pod.
SECURE_REDIRECT_EXEMPT = ["^api", "^(healthz|readyz|metrics)/?$"]
# The target of the redirect, whatever the Host header.
SECURE_SSL_HOST = _site.netloc
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
# Ends a session after a time without use, and in any case a fixed time after the sign-in.
SESSION_ENGINE = "accounts.session_store"
SESSION_COOKIE_AGE = 30 * 24 * 3600
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
LANGUAGE_COOKIE_SECURE = _https
LANGUAGE_COOKIE_HTTPONLY = True
# Browsers accept cookies with these prefixes over https only. A `__Host-` cookie is valid for every path and
# can be set by this host only, not by a neighbour under the same domain.
HOST_COOKIE_PREFIX = "__Host-" if _https else ""
PATH_COOKIE_PREFIX = "__Secure-" if _https else ""
SESSION_COOKIE_NAME = f"{HOST_COOKIE_PREFIX}sessionid"
CSRF_COOKIE_NAME = f"{HOST_COOKIE_PREFIX}csrftoken"
LANGUAGE_COOKIE_NAME = f"{HOST_COOKIE_PREFIX}django_language"
MESSAGE_STORAGE = "lori_assignment.http.message_storage.MessageStorage"
CSRF_FAILURE_VIEW = "lori_assignment.http.error_handlers.csrf_failure"

# Scripts and styles come from our own files only. Covers may come from another host, at MEDIA_URL.
_covers = [f"{urlsplit(MEDIA_URL).scheme}://{urlsplit(MEDIA_URL).netloc}"] if "://" in MEDIA_URL else []
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        # Anything that is not listed is not loaded.
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # Django's administration and allauth use some images as data: URLs.
        "img-src": [SELF, "data:", *_covers],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# ---------------------------------------------------------------- accounts and authentication

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.PasswordBackend"]
PASSWORD_HASHERS = [
    "accounts.hashers.OwaspArgon2",
    # For accounts that were imported from another system.
    "accounts.hashers.ImportedPBKDF2",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.password_rules.MaximumLengthValidator"},
    {
        "NAME": "accounts.password_rules.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["username", "email", "name"]},
    },
    {"NAME": "accounts.password_rules.MinimumLengthValidator"},
    {"NAME": "accounts.password_rules.CommonPasswordValidator"},
    {"NAME": "accounts.password_rules.ShopVocabularyValidator"},
]

# Long enough to find the e-mail, and too short for somebody who gets into the mailbox a week later.
PASSWORD_RESET_TIMEOUT = 3600

SITE_NAME = "Lori Books"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
# As long as a visitor's session (accounts/session_store.py). The visitor can read that cookie, so allauth's
# codes by mail, which it would keep there, must stay turned off.
ACCOUNT_LOGIN_TIMEOUT = 600
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _site.scheme
ACCOUNT_USERNAME_VALIDATORS = "accounts.models.username_validators"
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "signup": "accounts.forms.SignUpForm",
    "add_email": "accounts.forms.NewEmailForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "set_password": "accounts.forms.SetPasswordForm",
    "reset_password": "accounts.forms.ForgottenPasswordForm",
    "reset_password_from_key": "accounts.forms.ResetPasswordForm",
    "reauthenticate": "accounts.forms.ConfirmPasswordForm",
}
MFA_FORMS = {
    "authenticate": "accounts.forms.SecondFactorForm",
    "reauthenticate": "accounts.forms.ConfirmCodeForm",
    "activate_totp": "accounts.forms.AuthenticatorAppForm",
    "add_webauthn": "accounts.forms.NewPasskeyForm",
    "authenticate_webauthn": "accounts.forms.SecondFactorPasskeyForm",
    "edit_webauthn": "accounts.forms.PasskeyNameForm",
    "login_webauthn": "accounts.forms.PasskeySignInForm",
    "reauthenticate_webauthn": "accounts.forms.ConfirmPasskeyForm",
}
ACCOUNT_ADAPTER = "accounts.allauth_adapters.AccountAdapter"
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
# One address per account: a new one replaces the old when it is confirmed.
ACCOUNT_CHANGE_EMAIL = True
# Somebody who finds a signed-in browser must not be able to take over the account.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# A mail reports a changed password, address or second factor.
ACCOUNT_EMAIL_NOTIFICATIONS = True
MFA_ADAPTER = "accounts.allauth_adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
# allauth's middleware for sessions is not installed, since it would only record every request.
USERSESSIONS_ADAPTER = "accounts.allauth_adapters.SessionsAdapter"
USERSESSIONS_TRACK_ACTIVITY = False
# accounts/login_throttle.py counts wrong passwords, also when a password is changed. allauth counts wrong
# codes of a second factor, per account only, because an attacker who guesses codes already has the password.
SECOND_FACTOR_LOCK_SECONDS = 300
ACCOUNT_RATE_LIMITS = (
    {"login_failed": f"5/{SECOND_FACTOR_LOCK_SECONDS}s/key", "change_password": None}
    if RATE_LIMITS == "on"
    else False
)
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES

SIMPLE_JWT = {
    "AUTH_HEADER_TYPES": ("JWT", "Bearer"),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    # The only algorithm accepted, whatever the header of a token says.
    "ALGORITHM": "HS256",
    "SIGNING_KEY": TOKEN_SIGNING_KEY,
    # Tokens of another installation are refused, even if it has the same key.
    "AUDIENCE": SITE_URL,
    # accounts/tokens.py rotates refresh tokens, and revokes them on signing out and on a new password.
}

REST_AUTH = {
    "USE_JWT": True,
    "SESSION_LOGIN": False,
    "TOKEN_MODEL": None,
    "JWT_AUTH_HTTPONLY": False,
    "LOGIN_SERIALIZER": "accounts.api.serializers.auth.LoginIn",
    "JWT_SERIALIZER": "accounts.api.serializers.auth.LoginOut",
    "REGISTER_SERIALIZER": "accounts.api.serializers.auth.RegisterIn",
    "USER_DETAILS_SERIALIZER": "accounts.api.serializers.auth.Profile",
    "PASSWORD_CHANGE_SERIALIZER": "accounts.api.serializers.auth.PasswordChangeIn",
    "PASSWORD_RESET_SERIALIZER": "accounts.api.serializers.auth.PasswordResetIn",
    "PASSWORD_RESET_CONFIRM_SERIALIZER": "accounts.api.serializers.auth.PasswordResetConfirmIn",
}

# ---------------------------------------------------------------- API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.JWTHeaderOrCookieAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.URLPathVersioning",
    "ALLOWED_VERSIONS": ["v1", "v2", "v3"],
    "DEFAULT_VERSION": "v3",
    "DEFAULT_PARSER_CLASSES": [
        "lori_assignment.rest.parsers.StrictJSONParser",
        "lori_assignment.rest.parsers.StrictFormParser",
        "lori_assignment.rest.parsers.StrictMultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["lori_assignment.rest.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "lori_assignment.rest.renderers.JSONOnlyNegotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_PAGINATION_CLASS": "lori_assignment.rest.pagination.VersionedPagination",
    "DEFAULT_FILTER_BACKENDS": ["lori_assignment.rest.filters.LazyFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": [
        "lori_assignment.rest.throttling.AddressRateThrottle",
        "accounts.api.throttling.FamilyRateThrottle",
    ]
    if RATE_LIMITS == "on"
    else [],
    "DEFAULT_THROTTLE_RATES": {
        # By address: dj_rest_auth's views and /api-token-auth/, ...
        "dj_rest_auth": "60/minute",
        # ... and the calls that refresh and verify tokens, so that a thousand members can share an address.
        "tokens": "600/minute",
        # Refreshing and verifying, by the login from which the token descends.
        "token_family": "30/minute",
    },
    "EXCEPTION_HANDLER": "lori_assignment.rest.exception_handler.handle_api_exception",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SWAGGER_USE_COMPAT_RENDERERS = False
SWAGGER_SETTINGS = {
    "DEFAULT_AUTO_SCHEMA_CLASS": "lori_assignment.rest.schema.OperationDocs",
    "DEFAULT_GENERATOR_CLASS": "lori_assignment.rest.schema.DocumentGenerator",
    "USE_SESSION_AUTH": False,
    # Otherwise Swagger UI sends the document's URL to a third party's validator.
    "VALIDATOR_URL": None,
    "SECURITY_DEFINITIONS": {
        "JWT": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The word JWT, a space, and the token that /api-token-auth/ answered.",
        }
    },
}

# How long anonymous responses of the catalogue are cached. 0 turns the cache off, for tests and drills that
# need fresh data.
_seconds = env.str("RESPONSE_CACHE_SECONDS", default="1")
_demand(
    re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", _seconds) is not None,
    "RESPONSE_CACHE_SECONDS must be a number of seconds from 0 to 99, such as 0.5.",
)
RESPONSE_CACHE_SECONDS = float(_seconds)

# ---------------------------------------------------------------- logging

# Each response has the id of its request, as does every line logged for it. A client may send the id as a
# UUID.
DJANGO_GUID = {"GUID_HEADER_NAME": "X-Request-ID", "EXPOSE_HEADER": False}
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
_demand(
    LOG_LEVEL in {"DEBUG", "INFO", "WARNING", "ERROR"}, "LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR."
)
LOG_FORMAT = env.str("LOG_FORMAT", default="line")
_demand(LOG_FORMAT in {"line", "json"}, "LOG_FORMAT must be line or json.")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "lori_assignment.observability.logs.LineFormatter",
            "format": "{asctime} {levelname} {name} [{request_id}] {message}",
            "style": "{",
        },
        "json": {"()": "lori_assignment.observability.logs.JSONFormatter"},
    },
    "filters": {
        "with_request_id": {
            "()": "django_guid.log_filters.CorrelationId",
            "correlation_id_field": "request_id",
        },
        "client_errors": {"()": "lori_assignment.observability.logs.ClientErrorFilter"},
    },
    "handlers": {
        "log": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout" if LOG_FORMAT == "json" else "ext://sys.stderr",
            "formatter": LOG_FORMAT,
            "filters": ["with_request_id", "client_errors"],
        }
    },
    "root": {"handlers": ["log"], "level": LOG_LEVEL},
    # Django's own handler would print every line twice, and its level would override ours.
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # Logs for every request whether it had an id.
        "django_guid": {"level": "ERROR"},
        # Logs thirty lines for every PDF.
        "fontTools": {"level": "WARNING"},
        # Logs whose passkey was used; the security log records the same without the name.
        "fido2": {"level": "WARNING"},
    },
}

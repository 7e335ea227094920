"""Issues, renews, verifies and revokes the JWT pairs of API clients and browsers.

Every token names its family: the login from which it descends, stored as a row. Signing out deletes the row
and so revokes all of its tokens, including access tokens. The query that reads the account also checks the
family, so a request needs no extra query.

Only the family's current refresh token is valid. If an older one is used again, it has been stolen. Since
owner and thief cannot be distinguished, every token of that login is revoked. But a client whose response was
lost, or that refreshes in two places at once, sends a token twice: for REPEATABLE the same pair is returned
again, until its refresh token is used. The pair is not stored. It is signed again from the family's row.

`TokenError` is raised for a token that is expired, forged, of the wrong type, already used or revoked, and
for one whose account was deleted or deactivated or has a new password.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

from django.conf import settings
from django.db.models import BigIntegerField, CharField
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token, UntypedToken

from accounts.models import TokenFamily, User
from accounts.second_factor import has_required_second_factor, must_set_up_second_factor
from lori_assignment import clock
from lori_assignment.db.compiled_queries import CompiledQuery, Parameter
from lori_assignment.db.transactions import atomic_with_retry
from lori_assignment.observability.security_log import log_event

__all__ = [
    "Pair",
    "TokenError",
    "delete_expired",
    "family_of",
    "issue_tokens",
    "new_family",
    "owner_of",
    "read_access_token",
    "renew",
    "renew_for_browser",
    "revoke",
    "revoke_all",
    "revoke_families",
    "verify",
]

USED = _("This token has already been used.")
REVOKED = _("This token is no longer valid. Sign in again.")
# The claims for the family's name and for a fingerprint of the password at the time of issue.
FAMILY = "family"
PASSWORD_CLAIM = "password_mark"  # noqa: S105  # The name of a claim.
# The format of each claim that is compared or used in a query. It is checked because a stolen signing key
# could sign other values.
CLAIMS = {
    api_settings.USER_ID_CLAIM: re.compile("[0-9]{1,18}"),
    api_settings.JTI_CLAIM: re.compile("[0-9a-f]{32}"),
    FAMILY: re.compile("[0-9a-f]{32}"),
    PASSWORD_CLAIM: re.compile("[0-9a-f]{32}"),
}
# However often its tokens are renewed, a login ends after this time and needs the password again.
MAX_AGE = timedelta(days=30)
# For how long the token that was just renewed returns the same pair again.
REPEATABLE = timedelta(seconds=10)
# The fields that change when a family gets its next pair.
ADVANCED = ["current", "previous", "renewed_at", "expires_at", "renewed_outside_browser"]

_Token = TypeVar("_Token", bound=Token)


class Pair(NamedTuple):
    access: str
    refresh: str


def new_family() -> str:
    return secrets.token_hex(16)


def issue_tokens(user: User, *, family: str = "") -> Pair:
    """Issue the first pair of a login, in a new family. `family` is its name; empty for a random one."""
    begun = TokenFamily(pk=family or new_family(), user=user, began_at=clock.now())
    _advance(begun, previous="", at=begun.began_at)
    begun.save(force_insert=True)
    return _sign_pair(begun)


def renew(refresh: str) -> Pair:
    """Exchange `refresh` for a new pair. Several calls within REPEATABLE get the same one.

    Raises TokenError, and revokes the family, if `refresh` was used before that or if the pair has been used.
    """
    token = _read(RefreshToken, refresh)
    family, pair = _rotate(token)
    if pair is None:
        log_event("token_reused", account=family.user_id)
        raise TokenError(USED)
    return pair


@atomic_with_retry
def _rotate(token: RefreshToken) -> tuple[TokenFamily, Pair | None]:
    """Return the family and its next pair. If `token` was used before, delete the family instead."""
    family = _lock_valid_family(token)
    now = clock.now()
    if _is_current(token, family):
        _advance(family, previous=family.current, at=now)
        family.renewed_outside_browser = True
        family.save(update_fields=ADVANCED)
    elif not _is_repeated(token, family, at=now):
        family.delete()
        return family, None
    return family, _sign_pair(family)


@atomic_with_retry
def renew_for_browser(user: User, *, family: str, refresh: str) -> Pair | None:
    """Return the next pair for a browser whose session is valid, or None if the family has ended.

    `refresh`, the token in the browser's cookie, need not be current: the session authenticates the browser,
    and several of its requests may renew at once. But if it was used before and the latest pair was issued
    outside the browser, it was stolen, and the family is deleted.
    """
    found = lock_family(user.pk, family)
    if found is None:
        return None
    if found.renewed_outside_browser and _is_used(refresh, found):
        found.delete()
        log_event("token_reused", account=user.pk)
        return None
    # No token returns this pair again: the browser needs none, and anyone else has stolen it.
    _advance(found, previous="", at=clock.now())
    found.renewed_outside_browser = False
    found.save(update_fields=ADVANCED)
    return _sign_pair(found)


def verify(text: str) -> None:
    """Raise TokenError unless `text` is a valid token of either type."""
    token = _read(UntypedToken, text)
    owner_of(token)
    is_refresh = token.get(api_settings.TOKEN_TYPE_CLAIM) == RefreshToken.token_type
    current = TokenFamily.objects.filter(pk=token.get(FAMILY), current=token[api_settings.JTI_CLAIM])
    if is_refresh and not current.exists():
        raise TokenError(USED)


def revoke(refresh: str) -> None:
    """Sign out: revoke every token of the login that `refresh` belongs to. Raises TokenError."""
    token = _read(RefreshToken, refresh)
    family = _revoke(token)
    used = not _is_current(token, family)
    log_event("token_reused" if used else "signed_out", account=family.user_id)
    if used:
        raise TokenError(USED)


@atomic_with_retry
def _revoke(token: RefreshToken) -> TokenFamily:
    family = _lock_valid_family(token)
    family.delete()
    return family


def revoke_families(user_id: int, families: Collection[str]) -> None:
    TokenFamily.objects.filter(user_id=user_id, pk__in=families).delete()


def revoke_all(user: User, *, keep_family: str = "") -> None:
    """Revoke every token of `user`, except those of `keep_family`."""
    TokenFamily.objects.filter(user=user).exclude(pk=keep_family).delete()


def delete_expired(*, at: datetime) -> int:
    """Delete the families whose current refresh token has expired and return how many there were."""
    deleted, _by_model = TokenFamily.objects.filter(expires_at__lte=at).delete()
    return deleted


@lru_cache(maxsize=1024)
def _access_token(text: bytes, key: str, audience: str) -> AccessToken:
    """Verify and cache a token; `key` and `audience` are only part of the cache key."""
    return _read(AccessToken, text)


def read_access_token(text: bytes) -> AccessToken:
    """Return a verified access token that has not expired. Raises TokenError.

    Each process caches the result, because the signature of the same bytes cannot change. Expiry is checked
    on every call.
    """
    token = _access_token(text, api_settings.SIGNING_KEY, api_settings.AUDIENCE)
    token.check_exp(current_time=clock.now())
    return token


def owner_of(token: Token) -> User:
    """Return the account of `token` in one query. Raises TokenError if the token was revoked."""
    find_owner = _owner_query(with_second_factor=settings.STAFF_SECOND_FACTOR)
    owners = find_owner(user=token.get(api_settings.USER_ID_CLAIM), family=token.get(FAMILY))
    if not owners or not _password_unchanged(token, owners[0]):
        raise TokenError(REVOKED)
    return owners[0]


@cache
def _owner_query(*, with_second_factor: bool) -> CompiledQuery[User]:
    """`with_second_factor` is only a cache key: `has_required_second_factor` reads the setting."""
    return CompiledQuery(
        lambda: User.objects.filter(
            has_required_second_factor(),
            pk=Parameter("user", BigIntegerField()),
            token_families=Parameter("family", CharField()),
            is_active=True,
        )
    )


def family_of(text: str) -> str:
    """Return the name of the family of a token of either type, without a query; empty if it is not valid."""
    try:
        family: str = _read(UntypedToken, text)[FAMILY]
    except TokenError:
        return ""
    return family


def _advance(family: TokenFamily, *, previous: str, at: datetime) -> None:
    """Give the family its next refresh token; the caller saves ADVANCED."""
    family.previous = previous
    family.current = secrets.token_hex(16)
    family.renewed_at = at
    expiry = min(at + RefreshToken.lifetime, family.began_at + MAX_AGE)
    family.expires_at = expiry.replace(microsecond=0)


def _sign_pair(family: TokenFamily) -> Pair:
    """Sign the family's current pair. For one row it is always the same."""
    refresh = RefreshToken.for_user(family.user)
    # Null only before the first `_advance`. The access token expires five minutes later.
    issued_at: Any = family.renewed_at
    refresh.current_time = issued_at
    refresh.set_iat(at_time=issued_at)
    refresh["exp"] = int(family.expires_at.timestamp())
    refresh[api_settings.JTI_CLAIM] = family.current
    refresh[FAMILY] = family.pk
    refresh[PASSWORD_CLAIM] = _password_fingerprint(family.user)
    access = refresh.access_token
    access.set_iat(at_time=issued_at)
    access[api_settings.JTI_CLAIM] = _keyed_hash("access token", family.current)
    return Pair(access=str(access), refresh=str(refresh))


def _is_current(token: Token, family: TokenFamily) -> bool:
    return bool(token[api_settings.JTI_CLAIM] == family.current)


def _is_repeated(token: Token, family: TokenFamily, *, at: datetime) -> bool:
    """Return whether the family's current pair was issued for `token`, within REPEATABLE."""
    if token[api_settings.JTI_CLAIM] != family.previous or family.renewed_at is None:
        return False
    return at < family.renewed_at + REPEATABLE


def _lock_valid_family(token: RefreshToken) -> TokenFamily:
    """Return the locked family of `token`. Raises TokenError if the token was revoked."""
    family = lock_family(token.get(api_settings.USER_ID_CLAIM), token.get(FAMILY))
    if family is None or not family.user.is_active or not _password_unchanged(token, family.user):
        raise TokenError(REVOKED)
    if must_set_up_second_factor(family.user):
        raise TokenError(REVOKED)
    return family


def lock_family(user_id: Any, family: Any) -> TokenFamily | None:
    """Lock the family against renewal and revocation until the transaction ends."""
    locked = TokenFamily.objects.select_related("user").select_for_update(of=("self",))
    return locked.filter(pk=family, user_id=user_id).first()


def _is_used(refresh: str, family: TokenFamily) -> bool:
    """Return whether `refresh` is a token of the family but not its current one."""
    try:
        token = _read(RefreshToken, refresh)
    except TokenError:
        return False
    return token.get(FAMILY) == family.pk and not _is_current(token, family)


def _password_unchanged(token: Token, user: User) -> bool:
    return constant_time_compare(str(token.get(PASSWORD_CLAIM)), _password_fingerprint(user))


def _password_fingerprint(user: User) -> str:
    """Return a keyed hash of the password hash. simplejwt's own claim would use MD5."""
    return _keyed_hash("accounts.tokens", user.password)


def _keyed_hash(salt: str, value: str) -> str:
    key = settings.TOKEN_SIGNING_KEY
    return salted_hmac(salt, value, secret=key, algorithm="sha256").hexdigest()[:32]


def _read(kind: type[_Token], text: str | bytes) -> _Token:
    """Verify a token and the form of its claims. Raises TokenError."""
    try:
        token = kind(text)  # type: ignore[arg-type]  # simplejwt annotates the text as a Token
    except (ValueError, OverflowError, OSError):
        # The text is not ASCII, or a time is too large for a datetime.
        raise TokenError(_("Token is invalid")) from None
    if not all(pattern.fullmatch(str(token.get(name))) for name, pattern in CLAIMS.items()):
        raise TokenError(_("Token is invalid"))
    return token

from __future__ import annotations

from typing import Any

# Imported first, because what they register is unregistered below.
import allauth.account.admin
import allauth.mfa.admin
import allauth.socialaccount.admin
import allauth.usersessions.admin  # noqa: F401  # For what it registers.
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import SEARCH_FIELDS, User
from accounts.sessions import sign_out_everywhere
from accounts.sign_up import reset_email_address
from accounts.signals import access_revoked
from lori_assignment.admin import IndexedListAdmin
from lori_assignment.observability.security_log import log_event


class NewAccountForm(AdminUserCreationForm):
    class Meta(AdminUserCreationForm.Meta):
        model = User
        fields = ("username", "email")


class AccountForm(UserChangeForm):
    class Meta(UserChangeForm.Meta):
        model = User


class AccountPasswordForm(AdminPasswordChangeForm):
    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit)
        if not user.has_usable_password():
            # `User.save` tells of new passwords only.
            access_revoked.send(User, user=user)
        return user


# Write access to these models would open any account, including a superuser's. An e-mail address is changed
# together with its account, and only superusers may remove a second factor.
for _takeover_model in (EmailAddress, SocialAccount, SocialApp, SocialToken, UserSession):
    admin.site.unregister(_takeover_model)
admin.site.unregister(Authenticator)
admin.site.unregister(Group)


@admin.register(Group)
class PermissionGroupAdmin(IndexedListAdmin, GroupAdmin):
    """Django's own pages, with the closed list of filters that all lists have."""


@admin.register(Authenticator)
class SecondFactorAdmin(IndexedListAdmin):
    """Lets superusers remove a lost second factor, once its owner has come in person."""

    list_display = ("user", "type", "created_at", "last_used_at")
    search_fields = ("user__username", "user__email")
    # Never show `data`, which holds the secret.
    fields = readonly_fields = list_display

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_delete_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Authenticator | None = None) -> bool:
        return self.has_delete_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Authenticator | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Authenticator | None = None) -> bool:
        return False


@admin.register(User)
class AccountAdmin(IndexedListAdmin, UserAdmin):
    form = AccountForm
    add_form = NewAccountForm
    change_password_form = AccountPasswordForm
    list_display = ("username", "email", "name", "phone", "is_staff", "is_active")
    actions = ("sign_out",)
    search_fields = SEARCH_FIELDS
    ordering = ("username",)
    sortable_by = ("username",)
    fieldsets = (
        (None, {"fields": ("username", "email", "password")}),
        (_("Profile"), {"fields": ("name", "phone", "address")}),
        (
            _("Permissions"),
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        (_("Important dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": (
                    "username",
                    "email",
                    "name",
                    "phone",
                    "address",
                    "usable_password",
                    "password1",
                    "password2",
                ),
            },
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only superusers may grant permissions; otherwise staff could make themselves superusers."""
        dates = ("last_login", "date_joined")
        if request.user.is_superuser:
            return dates
        return (*dates, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """All staff may view accounts, as in the API."""
        return bool(request.user.is_active and request.user.is_staff)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return ((None, {"fields": ("username", "email")}), *fieldsets[1:])

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _may_administer(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _may_administer(request, obj) and super().has_delete_permission(request, obj)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """Django also calls this after setting a password."""
        log_event("account_administered", request, account=obj.pk, actor=request.user.pk)
        return super().log_change(request, obj, message)

    @admin.action(permissions=["change"], description=_("Sign out everywhere"))
    def sign_out(self, request: HttpRequest, accounts: QuerySet[User]) -> None:
        """End all sessions and tokens of the selected accounts that the user may change."""
        ended = [one for one in accounts if self.has_change_permission(request, one)]
        for one in ended:
            sign_out_everywhere(one)
            log_event("account_administered", request, account=one.pk, actor=request.user.pk)
        said = ngettext("%(count)d account signed out.", "%(count)d accounts signed out.", len(ended))
        self.message_user(request, said % {"count": len(ended)})

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            # Otherwise the old address would still open the account.
            reset_email_address(obj)
        if not obj.is_active or {"is_staff", "is_superuser"} & set(form.changed_data):
            # This is permanent: once reactivated, or with other rights, the person has to sign in again.
            sign_out_everywhere(obj)


def _may_administer(request: HttpRequest, account: User | None) -> bool:
    """Only superusers change staff accounts: setting a password there would grant that account's rights."""
    return account is None or not account.is_staff or request.user.is_superuser

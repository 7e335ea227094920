from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RentalsConfig(AppConfig):
    name = "rentals"
    verbose_name = _("Rentals")

    def ready(self) -> None:
        from accounts.signals import access_revoked
        from rentals import checks  # noqa: F401  # Registers the check.
        from rentals.calendar_feeds import revoke_with_access

        access_revoked.connect(revoke_with_access, dispatch_uid="calendar link")

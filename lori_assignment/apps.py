import logging

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import apps as admin_apps
from django.contrib.staticfiles.apps import StaticFilesConfig as StockStaticFilesConfig

logger = logging.getLogger(__name__)


class ShopConfig(AppConfig):
    name = "lori_assignment"
    # This module has several AppConfigs.
    default = True

    def ready(self) -> None:
        if settings.RATE_LIMITS == "off":
            logger.warning(
                "RATE_LIMITS is off. Use this for load tests only: passwords can be guessed without limit."
            )


class ShopAdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "lori_assignment.admin_site.ShopAdminSite"


class StaticFilesConfig(StockStaticFilesConfig):
    """Makes `collectstatic` omit files of drf-yasg that no page uses: 50 of 70 MB."""

    ignore_patterns = [
        *StockStaticFilesConfig.ignore_patterns,
        "redoc-old",
        "swagger-ui-es-*",
        "*.LICENSE.txt",
    ]

import logging

from django.apps import AppConfig
from django.conf import settings
from django.contrib.staticfiles.apps import StaticFilesConfig as StockStaticFilesConfig

logger = logging.getLogger(__name__)


class ShopConfig(AppConfig):
    name = "lori_assignment"
    # Of the two that stand here.
    default = True

    def ready(self) -> None:
        if settings.RATE_LIMITS == "off":
            logger.warning(
                "RATE_LIMITS is off, which is for load tests: passwords can be guessed at full speed."
            )


class StaticFilesConfig(StockStaticFilesConfig):
    """`collectstatic` leaves out what drf-yasg brings and no page asks for: 50 of 70 MB."""

    ignore_patterns = [
        *StockStaticFilesConfig.ignore_patterns,
        "redoc-old",
        "swagger-ui-es-*",
        "*.LICENSE.txt",
    ]

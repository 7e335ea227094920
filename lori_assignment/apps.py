import logging

from django.apps import AppConfig
from django.conf import settings

logger = logging.getLogger(__name__)


class ShopConfig(AppConfig):
    name = "lori_assignment"

    def ready(self) -> None:
        if settings.RATE_LIMITS == "off":
            logger.warning(
                "RATE_LIMITS is off, which is for load tests: passwords can be guessed at full speed."
            )

"""`compose.yaml` starts its services in order, and cannot be mistaken for production."""

from __future__ import annotations

import re
from unittest import TestCase

import yaml
from django.conf import settings

from lori_assignment.tests.test_settings import start

SERVICES = yaml.safe_load((settings.BASE_DIR / "compose.yaml").read_text())["services"]
OURS = ("migrate", "demo", "shop")


class ComposeTest(TestCase):
    def test_shop_starts_with_its_variables(self) -> None:
        source = (settings.BASE_DIR / "lori_assignment" / "settings.py").read_text()
        for name in OURS:
            given = SERVICES[name]["environment"]
            with self.subTest(service=name):
                for variable in given:
                    self.assertTrue(re.search(rf'\(\s*"{variable}"', source), f"{variable} is not read")
                started = start("DATABASES['default']['HOST']", **given)
                self.assertEqual((started.stdout, started.stderr), ("'database'\n", ""))

    def test_shop_uses_the_composed_database(self) -> None:
        made = SERVICES["database"]["environment"]
        address = "postgres://{POSTGRES_USER}:{POSTGRES_PASSWORD}@database/{POSTGRES_DB}".format(**made)
        self.assertEqual(SERVICES["shop"]["environment"]["DATABASE_URL"], address)
        self.assertEqual(SERVICES["shop"]["environment"]["EMAIL_URL"], "smtp://mail:1025")

    def test_migration_runs_before_the_server(self) -> None:
        done, healthy = "service_completed_successfully", "service_healthy"
        self.assertEqual(SERVICES["migrate"]["depends_on"], {"database": {"condition": healthy}})
        self.assertEqual(SERVICES["demo"]["depends_on"], {"migrate": {"condition": done}})
        self.assertEqual(SERVICES["shop"]["depends_on"]["demo"], {"condition": done})
        self.assertEqual([SERVICES[name]["command"][0] for name in OURS], ["migrate", "load_demo", "serve"])

    def test_nginx_uses_the_shipped_configuration(self) -> None:
        nginx = SERVICES["nginx"]
        self.assertEqual(
            nginx["volumes"], ["./deploy/nginx.conf:/etc/nginx/templates/nginx.conf.template:ro"]
        )
        # The same image as in the pods, so that both are updated together.
        deployment = (settings.BASE_DIR / "kubernetes" / "base" / "deployment.yaml").read_text()
        self.assertIn(f"image: docker.io/{nginx['image']}\n", deployment)
        given = nginx["environment"]
        self.assertEqual((given["SHOP"], given["TRUSTED_PROXY"]), ("shop:8000", "0.0.0.0/32"))
        self.assertEqual(SERVICES["shop"]["environment"]["TRUSTED_PROXIES"], "1")
        self.assertEqual([name for name in OURS if "ports" in SERVICES[name]], [])
        # It stops before the shop does.
        self.assertIn("shop", nginx["depends_on"])

    def test_running_services_have_a_healthcheck(self) -> None:
        for name, service in SERVICES.items():
            self.assertEqual("healthcheck" in service, name not in ("migrate", "demo"), name)

    def test_stack_is_local_only(self) -> None:
        for name, service in SERVICES.items():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), f"{name} is open to others")
        environment = SERVICES["shop"]["environment"]
        self.assertIn("everybody-can-read-this-key", environment["SECRET_KEY"])
        self.assertTrue(environment["SITE_URL"].startswith("http://localhost:"))

    def test_containers_are_hardened(self) -> None:
        for name in (*OURS, "nginx"):
            with self.subTest(service=name):
                service = SERVICES[name]
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertTrue(service["tmpfs"][0].startswith("/tmp"))  # noqa: S108

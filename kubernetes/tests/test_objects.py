"""Tests that the objects of both environments follow every rule, and that each rule can fail."""

# ruff: noqa: INP001  # Run by unittest from this folder.
from __future__ import annotations

import copy
import unittest
from concurrent.futures import ThreadPoolExecutor

import kubernetes_validate
import object_checks as checks
import shop as given
import yaml
from broken import BROKEN, serve
from object_checks import ALB, Object
from shop import rendering

# Kinds without a schema, with the reason. Currently none.
WITHOUT_SCHEMA: dict[str, str] = {}


def setUpModule() -> None:
    """Start the shop, which takes some seconds, once for each environment, in parallel."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(given.answers, rendering.ENVIRONMENTS))


class ObjectsTest(unittest.TestCase):
    def test_both_environments_keep_every_rule(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            shop = given.shop(environment)
            for rule in checks.RULES:
                with self.subTest(environment=environment, rule=rule.__name__):
                    self.assertEqual(list(rule(shop)), [])

    def test_each_broken_rule_is_reported(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            whole = given.shop(environment)
            for rule, cases in BROKEN.items():
                for number, (words, break_it) in enumerate(cases):
                    with self.subTest(environment, rule=rule.__name__, number=number, words=words):
                        shop = copy.deepcopy(whole)
                        break_it(shop)
                        self.assertIn(words, "\n".join(rule(shop)))

    def test_every_rule_has_a_broken_case(self) -> None:
        self.assertEqual(list(BROKEN), checks.RULES)


class HealthTest(unittest.TestCase):
    """The load balancer and the kubelet send the pod's address as Host, over plain HTTP."""

    def test_probed_paths_answer_a_pod_address(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            shop = given.shop(environment)
            probes = [
                serve(shop)[f"{probe}Probe"]["httpGet"]["path"]
                for probe in ("startup", "readiness", "liveness")
            ]
            said = {
                (host, path): (status, location)
                for host, path, status, location in given.answers(environment)["answers"]
            }
            for path in {*probes, shop.annotations[ALB + "healthcheck-path"]}:
                for host in (given.POD, given.POD.partition(":")[0]):
                    with self.subTest(environment=environment, path=path, host=host):
                        self.assertEqual(said[host, path], (200, ""))

    def test_other_paths_refuse_a_pod_address(self) -> None:
        """Otherwise the first test would also pass with ALLOWED_HOSTS = ["*"]."""
        for environment in rendering.ENVIRONMENTS:
            for host, path, status, _ in given.answers(environment)["answers"]:
                if path == "/":
                    with self.subTest(environment=environment, host=host):
                        self.assertEqual(status, 400)


class SchemaTest(unittest.TestCase):
    """Every object matches the schema of the cluster's version of Kubernetes, without unknown fields."""

    def validate(self, one: Object, environment: str = "prod") -> None:
        version = given.of_terraform(environment, "kubernetes_version")
        kubernetes_validate.validate(one, version, strict=True)

    def test_every_object_fits_its_schema(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            for part in ("platform", "entrance", "app", "commands"):
                found = list(yaml.safe_load_all(given.rendered(environment, part)))
                self.assertGreater(len(found), 2)
                for one in found:
                    if one["kind"] in WITHOUT_SCHEMA:
                        continue
                    with self.subTest(environment, kind=one["kind"], name=one["metadata"]["name"]):
                        self.validate(one, environment)

    def test_unknown_field_is_refused(self) -> None:
        shop = given.shop("prod")
        serve(shop)["readonlyRootFilesystem"] = True
        with self.assertRaises(kubernetes_validate.ValidationError):
            self.validate(shop.one("Deployment"))

    def test_unknown_kind_is_refused(self) -> None:
        unknown = {"apiVersion": "apps/v1", "kind": "Deploiment", "metadata": {"name": "shop"}}
        with self.assertRaises(kubernetes_validate.SchemaNotFoundError):
            self.validate(unknown)

"""Tests that Terraform's outputs are rendered into objects, or refused with a message."""

# ruff: noqa: INP001  # Run by unittest from this folder.
from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import shop as given
import yaml
from shop import rendering

IMAGE = f"222222222222.dkr.ecr.eu-central-1.amazonaws.com/lori-books-prod@{given.DIGEST}"


def with_output(name: str, value: Any) -> str:
    outputs = json.loads(given.outputs_text("prod"))
    outputs[name]["value"] = value
    return json.dumps(outputs)


def without_output(name: str) -> str:
    outputs = json.loads(given.outputs_text("prod"))
    del outputs[name]
    return json.dumps(outputs)


class OutputsTest(unittest.TestCase):
    def refused(self, text: str, words: str) -> None:
        with self.assertRaises(rendering.Refusal) as caught:
            rendering.read_outputs(text, "prod")
        self.assertIn(words, str(caught.exception))

    def test_example_outputs_are_valid(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            read = rendering.read_outputs(given.outputs_text(environment), environment)
            self.assertEqual(read["environment"], environment)
            self.assertEqual(read.keys(), json.loads(given.outputs_text(environment)).keys())

    def test_invalid_outputs_are_named(self) -> None:
        for name in json.loads(given.outputs_text("prod")):
            with self.subTest(name=name):
                self.refused(without_output(name), f"{name} is missing.")
                self.refused(with_output(name, ""), f"{name} is empty.")
                self.refused(with_output(name, None), f"{name} is empty.")
                self.refused(with_output(name, ["a"]), f"{name} is not text.")
                self.refused(with_output(name, "x\ny: z"), f"The output {name} is ")

    def test_output_of_other_environment_is_named(self) -> None:
        here = given.outputs("prod")
        for name, value in {
            "environment": "staging",
            "cluster_name": "lori-books-staging",
            "ecr_repository_url": here["ecr_repository_url"].replace("-prod", "-staging"),
            "app_role_arn": here["app_role_arn"].replace("222222222222", "333333333333"),
            "certificate_arn": here["certificate_arn"].replace("eu-central-1", "us-east-1"),
            "database_host": here["database_host"] + ":5432",
            "site_host": "https://shop.example",
            "database_port": "5432/tcp",
            "database_secret_arn": here["app_role_arn"],
            "mail_from": "Lori Books",
        }.items():
            with self.subTest(name=name):
                self.refused(with_output(name, value), f"The output {name} is {value!r}")

    def test_all_errors_are_reported_at_once(self) -> None:
        with self.assertRaises(rendering.Refusal) as caught:
            rendering.read_outputs(given.outputs_text("staging"), "prod")
        self.assertEqual(len(str(caught.exception).splitlines()), 3)

    def test_other_formats_are_refused(self) -> None:
        self.refused("No outputs found", "not JSON")
        self.refused("[]", "not of the form")
        self.refused('{"region": "eu-central-1"}', "not of the form")
        self.refused("{}", "The output region is missing.")

    def test_terraform_declares_every_output(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            file = given.ROOT / "terraform" / "environments" / environment / "outputs.tf"
            made = set(re.findall(r'^output "(\w+)"', file.read_text(), re.MULTILINE))
            self.assertLessEqual(rendering.shapes(environment, "", "").keys(), made)


class ImageTest(unittest.TestCase):
    def test_bare_or_qualified_digest_is_accepted(self) -> None:
        repository = given.outputs("prod")["ecr_repository_url"]
        for image in (given.DIGEST, IMAGE):
            self.assertEqual(rendering.read_image(image, repository), given.DIGEST)

    def test_other_image_names_are_refused(self) -> None:
        repository = given.outputs("prod")["ecr_repository_url"]
        for image in (
            "",
            "latest",
            f"{repository}:1.2.3",
            f"{repository}:1.2.3@{given.DIGEST}",
            f"{repository}@sha256:5",
            f"{given.DIGEST}5",
            f"{given.DIGEST}\n",
            f"elsewhere.example/lori-books-prod@{given.DIGEST}",
            f"{repository.replace('-prod', '-staging')}@{given.DIGEST}",
        ):
            with self.subTest(image=image), self.assertRaises(rendering.Refusal):
                rendering.read_image(image, repository)


class PartsTest(unittest.TestCase):
    def kinds(self, part: str) -> set[str]:
        return {one["kind"] for one in yaml.safe_load_all(given.rendered("prod", part))}

    def test_each_part_has_its_kinds(self) -> None:
        self.assertEqual(self.kinds("entrance"), {"Namespace", "Service", "Ingress"})
        self.assertEqual(self.kinds("commands"), {"CronJob"})
        self.assertEqual(self.kinds("platform"), {"Namespace", "ConfigMap", "IngressClass"})

    def test_app_and_commands_make_up_the_overlay(self) -> None:
        whole = rendering.kustomize("overlays/prod", {**given.outputs("prod"), "image_digest": given.DIGEST})
        self.assertEqual(
            sorted((one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(whole)),
            sorted((one["kind"], one["metadata"]["name"]) for one in given.objects("prod")),
        )
        # The other objects need their namespace.
        self.assertEqual(given.objects("prod")[0]["kind"], "Namespace")

    def test_no_placeholder_remains(self) -> None:
        for environment in rendering.ENVIRONMENTS:
            for part in rendering.PARTS:
                # The image of nginx fills in these.
                text = re.sub(r"\$\{(…|[A-Z_]+)\}", "", given.rendered(environment, part))
                self.assertNotIn("${", text)

    def test_unknown_placeholder_is_refused(self) -> None:
        few = {"region": ".*", "ecr_repository_url": ".*"}
        with (
            mock.patch.object(rendering, "shapes", return_value=few),
            self.assertRaises(rendering.Refusal) as caught,
        ):
            rendering.render("prod", "app", given.outputs_text("prod"), given.DIGEST)
        self.assertIn("app_role_arn", str(caught.exception))

    def test_only_pods_need_an_image(self) -> None:
        for part in ("app", "commands"):
            with self.assertRaises(rendering.Refusal) as caught:
                rendering.render("prod", part, given.outputs_text("prod"))
            self.assertIn("--image", str(caught.exception))
        for part in ("controller", "platform", "entrance"):
            self.assertEqual(
                rendering.render("prod", part, given.outputs_text("prod")), given.rendered("prod", part)
            )

    def test_changed_value_renames_the_config_map(self) -> None:
        """A new name makes the Deployment replace its pods."""
        names = [
            one["metadata"]["name"]
            for text in (given.outputs_text("prod"), with_output("media_bucket", "another-bucket"))
            for one in yaml.safe_load_all(rendering.render("prod", "app", text, given.DIGEST))
            if "SITE_URL" in one.get("data", {})
        ]
        self.assertEqual(len(set(names)), 2)

    def test_nginx_configuration_is_the_shipped_file(self) -> None:
        (config,) = (
            one["data"]
            for one in yaml.safe_load_all(given.rendered("prod", "app"))
            if "nginx.conf.template" in one.get("data", {})
        )
        shipped = (given.ROOT / "deploy" / "nginx.conf").read_text()
        self.assertEqual(config, {"nginx.conf.template": shipped})

    def test_log_configuration_matches_terraform(self) -> None:
        outputs = given.outputs("prod")
        objects = list(yaml.safe_load_all(given.rendered("prod", "platform")))
        (namespace,) = (one for one in objects if one["kind"] == "Namespace")
        (config,) = (one for one in objects if one["kind"] == "ConfigMap")
        # Fargate requires exactly these names.
        self.assertEqual(namespace["metadata"]["name"], "aws-observability")
        self.assertEqual(namespace["metadata"]["labels"]["aws-observability"], "enabled")
        self.assertEqual(
            (config["metadata"]["namespace"], config["metadata"]["name"]),
            ("aws-observability", "aws-logging"),
        )
        self.assertLessEqual(len("".join(config["data"].values())), 5300)
        lines = {
            tuple(line.split(None, 1))
            for line in config["data"]["output.conf"].splitlines()
            if "[" not in line
        }
        self.assertLessEqual(
            {
                ("Name", "cloudwatch_logs"),
                ("region", outputs["region"]),
                ("log_group_name", outputs["log_group_name"]),
                ("auto_create_group", "false"),
            },
            lines,
        )

    def test_controller_gets_cluster_region_and_vpc(self) -> None:
        outputs = given.outputs("prod")
        values = yaml.safe_load(given.rendered("prod", "controller"))
        self.assertEqual(
            (values["clusterName"], values["region"], values["vpcId"]),
            (outputs["cluster_name"], outputs["region"], outputs["vpc_id"]),
        )
        account = values["serviceAccount"]
        self.assertEqual(
            account["annotations"]["eks.amazonaws.com/role-arn"], outputs["load_balancer_controller_role_arn"]
        )
        irsa = (given.ROOT / "terraform" / "modules" / "cluster" / "irsa.tf").read_text()
        self.assertIn(f'"system:serviceaccount:kube-system:{account["name"]}"', irsa)
        self.assertEqual(values["resources"]["requests"], values["resources"]["limits"])
        # Helm must not create the class a second time.
        self.assertIs(values["createIngressClassResource"], False)
        (ours,) = (
            one
            for one in yaml.safe_load_all(given.rendered("prod", "platform"))
            if one["kind"] == "IngressClass"
        )
        self.assertEqual(values["ingressClass"], ours["metadata"]["name"])


class CommandLineTest(unittest.TestCase):
    def run_it(self, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  # Our own script.
            [sys.executable, str(given.ROOT / "kubernetes" / "render"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            **more,
        )

    def test_command_reads_and_writes_files_or_pipes(self) -> None:
        outputs = str(given.HERE / "outputs" / "prod.json")
        printed = self.run_it("prod", "entrance", "--outputs", outputs)
        self.assertEqual((printed.returncode, printed.stdout), (0, given.rendered("prod", "entrance")))
        read = self.run_it("prod", "entrance", "--outputs", "-", input=given.outputs_text("prod"))
        self.assertEqual(read.stdout, printed.stdout)
        with tempfile.TemporaryDirectory() as place:
            written = Path(place) / "app.yaml"
            done = self.run_it("prod", "app", "--outputs", outputs, "--image", IMAGE, "--to", str(written))
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            self.assertEqual(written.read_text(), given.rendered("prod", "app"))

    def test_errors_are_reported_without_output(self) -> None:
        outputs = str(given.HERE / "outputs" / "prod.json")
        for arguments, words in (
            (("prod", "app", "--outputs", outputs, "--image", "shop:latest"), "not given by digest"),
            (("staging", "app", "--outputs", outputs, "--image", given.DIGEST), "cluster_name"),
            (("prod", "platform", "--outputs", "/nowhere/outputs.json"), "cannot be read"),
        ):
            with self.subTest(words=words):
                done = self.run_it(*arguments)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn(words, done.stderr)
                self.assertTrue(all(line.startswith("render: ") for line in done.stderr.splitlines()))

    def test_missing_kubectl_is_reported(self) -> None:
        with tempfile.TemporaryDirectory() as empty, mock.patch.dict(os.environ, {"PATH": empty}):
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                status = rendering.main(
                    ["prod", "platform", "--outputs", str(given.HERE / "outputs" / "prod.json")]
                )
        self.assertEqual(status, 1)
        self.assertIn("kubectl is not on this machine", said.getvalue())

    def test_kubectl_error_is_reported(self) -> None:
        with self.assertRaises(rendering.Refusal) as caught:
            rendering.kustomize("overlays/nowhere", {})
        self.assertIn("overlays/nowhere", str(caught.exception))

    def test_no_generated_value_is_committed(self) -> None:
        for part in ("base", "overlays", "platform"):
            for file in (given.ROOT / "kubernetes" / part).rglob("*"):
                if file.is_file():
                    # The image of nginx is not generated.
                    text = re.sub("(nginx-unprivileged:.*)@sha256:[0-9a-f]{64}", r"\1", file.read_text())
                    self.assertIsNone(re.search("arn:aws|[0-9]{12}|sha256:", text), file)

"""Tests that the workflows have the permissions, order and concurrency described in docs/operations.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import TestCase

import yaml
from commands import ROOT, tree

FOLDER = ROOT / ".github" / "workflows"


def read(text: str) -> dict[str, Any]:
    """Parse YAML without types, since `on` is a key here and not true."""
    found: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # BaseLoader makes only strings.
    return found


TEXTS = {path.name: path.read_text() for path in sorted(FOLDER.iterdir())}
WORKFLOWS = {name: read(text) for name, text in TEXTS.items()}
JOBS: dict[str, dict[str, Any]] = {
    f"{name.removesuffix('.yml')} {job}": body
    for name, workflow in WORKFLOWS.items()
    for job, body in workflow["jobs"].items()
}

# All permissions of each job. A job that is missing here or has more fails; extend only with a reason.
READ = {"contents": "read"}
AWS = {"contents": "read", "id-token": "write"}
PERMISSIONS = {
    "audit audit": READ,
    "checks audit": READ,
    "checks deployment": READ,
    "checks laboratory": READ,
    "checks image": READ,
    "checks lint": READ,
    "checks served": READ,
    "checks tests": READ,
    "checks torture": READ,
    "deploy deploy": AWS,
    "main checks": READ,
    "main image": AWS,
    "main prod": AWS,
    "main release": {"contents": "write"},
    "main released": {"contents": "write"},
    "main staging": AWS,
    "pull-request checks": READ,
    "pull-request plan": AWS,
    "roll-back roll-back": AWS,
}


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job.get("steps", [])
    return found


def runs() -> list[tuple[str, str]]:
    """Return every script of every step, with the job's name."""
    return [(name, step["run"]) for name, job in JOBS.items() for step in steps(job) if "run" in step]


def roles(job: dict[str, Any]) -> list[str]:
    return [step["with"]["role-to-assume"] for step in steps(job) if "role-to-assume" in step.get("with", {})]


DEPLOYING = {name: job for name, job in JOBS.items() if any(role.endswith("-deploy") for role in roles(job))}
LOOKING = {name: job for name, job in JOBS.items() if any(role.endswith("-plan") for role in roles(job))}


class PermissionsTest(TestCase):
    def test_permissions_match_the_list(self) -> None:
        for name, workflow in WORKFLOWS.items():
            with self.subTest(name):
                self.assertEqual(workflow["permissions"], {})
        self.assertEqual({name: job.get("permissions") for name, job in JOBS.items()}, PERMISSIONS)

    def test_workflow_triggers_are_limited(self) -> None:
        started = {word for workflow in WORKFLOWS.values() for word in workflow["on"]}
        self.assertEqual(started, {"pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"})
        self.assertEqual(WORKFLOWS["main.yml"]["on"], {"push": {"branches": ["main"]}})

    def test_no_long_lived_secret_is_used(self) -> None:
        for name, text in TEXTS.items():
            with self.subTest(name):
                self.assertNotIn("secrets.", text)
                self.assertIsNone(re.search(r"AKIA|access-key|ACCESS_KEY|secrets: *inherit", text))

    def test_only_role_assuming_jobs_get_an_id_token(self) -> None:
        called = {name: job for name, job in JOBS.items() if "uses" in job}
        for name, job in JOBS.items():
            with self.subTest(name):
                if "id-token" in job["permissions"] and name not in called:
                    self.assertEqual(len(roles(job)), 1)
                if roles(job):
                    self.assertIn("id-token", job["permissions"])

    def test_plan_runs_only_for_this_repository(self) -> None:
        self.assertEqual(list(LOOKING), ["pull-request plan"])
        for job in LOOKING.values():
            self.assertIn("github.event.pull_request.head.repo.full_name == github.repository", job["if"])
            # With an environment, the token's subject would not be the one that the role expects.
            self.assertNotIn("environment", job)

    def test_jobs_writing_to_github_have_no_aws_role(self) -> None:
        for name, job in JOBS.items():
            if {what for what, how in job["permissions"].items() if how == "write"} - {"id-token"}:
                with self.subTest(name):
                    self.assertNotIn("id-token", job["permissions"])

    def test_checkout_does_not_persist_credentials(self) -> None:
        for name, job in JOBS.items():
            for step in steps(job):
                if step.get("uses", "").startswith("actions/checkout@"):
                    with self.subTest(name):
                        self.assertEqual(step["with"]["persist-credentials"], "false")

    def test_roles_match_terraform(self) -> None:
        made = (ROOT / "terraform" / "modules" / "github_oidc" / "main.tf").read_text()
        for what in ("plan", "deploy"):
            self.assertRegex(made, rf'name +[ =]+"\$\{{var\.name\}}-{what}"')
        for name, job in {**DEPLOYING, **LOOKING}.items():
            with self.subTest(name):
                self.assertRegex(
                    roles(job)[0],
                    r"^arn:aws:iam::\$\{\{ [a-zA-Z_.]+ \}\}:role/lori-books-"
                    r"(staging|\$\{\{ (inputs|matrix)\.environment \}\})-(plan|deploy)$",
                )


class ActionsTest(TestCase):
    def test_actions_are_pinned_with_their_version(self) -> None:
        pinned: dict[str, set[str]] = {}
        for name, text in TEXTS.items():
            for line in text.splitlines():
                if found := re.match(r"\s*(?:- )?uses: (.+)$", line):
                    with self.subTest(workflow=name, line=line.strip()):
                        if found[1].startswith("./"):
                            self.assertTrue((ROOT / found[1]).is_file())
                            continue
                        pin = re.fullmatch(r"([\w.-]+/[\w./-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", found[1])
                        self.assertIsNotNone(pin)
                        assert pin
                        pinned.setdefault(pin[1], set()).add(pin[2])
        self.assertGreater(len(pinned), 5)
        for action, pins in pinned.items():
            with self.subTest(action):
                self.assertEqual(len(pins), 1, "one action in two versions")

    def test_no_action_escapes_the_pin_check(self) -> None:
        listed = sum(len(re.findall(r"^\s*(?:- )?uses: ", text, re.MULTILINE)) for text in TEXTS.values())
        used = [use for job in JOBS.values() for use in [job, *steps(job)] if "uses" in use]
        self.assertEqual(listed, len(used))

    def test_terraform_version_is_pinned_and_allowed(self) -> None:
        versions = {
            step["with"]["terraform_version"]
            for job in JOBS.values()
            for step in steps(job)
            if "terraform_version" in step.get("with", {})
        }
        self.assertEqual(len(versions), 1)
        self.assertRegex(versions.pop(), r"^1\.(1[1-9]|[2-9][0-9])\.[0-9]+$")

    def test_image_is_built_once(self) -> None:
        pushing = [
            name
            for name, job in JOBS.items()
            for step in steps(job)
            if step.get("with", {}).get("push") == "true"
        ]
        self.assertEqual(pushing, ["main image"])


class ScriptsTest(TestCase):
    def test_scripts_contain_no_expressions(self) -> None:
        for name, script in runs():
            with self.subTest(name):
                self.assertNotIn("${{", script)

    def test_referenced_scripts_exist_and_can_run(self) -> None:
        named = {
            (name, path)
            for name, script in runs()
            for path in re.findall(r"\b(?:checks|deploy|drills|kubernetes)/[\w-]+", script)
        }
        self.assertGreater(len({path for _, path in named}), 5)
        for name, path in sorted(named):
            with self.subTest(job=name, script=path):
                self.assertTrue((ROOT / path).is_file())
                self.assertTrue(os.access(ROOT / path, os.X_OK))

    def test_referenced_make_targets_exist(self) -> None:
        targets = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
        for name, script in runs():
            for target in re.findall(r"\bmake ([\w./-]+)$", script, re.MULTILINE):
                with self.subTest(job=name, target=target):
                    self.assertRegex(targets, rf"(?m)^{re.escape(target)}:")

    def test_shellcheck_accepts_every_script(self) -> None:
        shellcheck = Path(sys.executable).parent / "shellcheck"
        for name, script in runs():
            with self.subTest(name):
                done = subprocess.run(
                    [shellcheck, "--shell=bash", "-"],
                    input=f"set -eo pipefail\n{script}",
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(done.returncode, 0, done.stdout)

    def test_pipe_failures_fail_the_step(self) -> None:
        for name, workflow in WORKFLOWS.items():
            with self.subTest(name):
                self.assertEqual(workflow.get("defaults"), {"run": {"shell": "bash"}})
        for name, job in JOBS.items():
            with self.subTest(name):
                self.assertNotIn("continue-on-error", str(job))

    def test_ci_runs_every_local_check(self) -> None:
        theirs = re.findall(r"^\s*((?:make|checks/)\S*.*)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
        self.assertGreater(len(theirs), 5)
        ours = "\n".join(script for name, script in runs() if name.startswith("checks "))
        for command in theirs:
            with self.subTest(command):
                self.assertIn(command, ours.splitlines())


class OrderTest(TestCase):
    def test_deployments_have_environment_and_queue(self) -> None:
        self.assertEqual(list(DEPLOYING), ["deploy deploy", "main image", "roll-back roll-back"])
        for name, job in DEPLOYING.items():
            with self.subTest(name):
                self.assertTrue(job["environment"])
                self.assertTrue(job["concurrency"]["group"])
                self.assertEqual(job["concurrency"]["cancel-in-progress"], "false")
        for changing in ("deploy deploy", "roll-back roll-back"):
            self.assertEqual(JOBS[changing]["concurrency"]["group"], "deploy-${{ inputs.environment }}")

    def test_only_read_only_runs_are_cancelled(self) -> None:
        broken_off = {
            name
            for name, body in {**JOBS, **WORKFLOWS}.items()
            if body.get("concurrency", {}).get("cancel-in-progress", "false") != "false"
        }
        self.assertEqual(broken_off, {"pull-request.yml"})

    def test_jobs_have_a_timeout_and_fixed_runner(self) -> None:
        for name, job in JOBS.items():
            if "uses" not in job:
                with self.subTest(name):
                    # AWS credentials last two hours.
                    self.assertLess(int(job["timeout-minutes"]), 120)
                    self.assertEqual(job["runs-on"], "ubuntu-24.04")

    def test_staging_follows_checks_and_precedes_prod(self) -> None:
        jobs = WORKFLOWS["main.yml"]["jobs"]

        def before(name: str) -> set[str]:
            needs = jobs[name].get("needs", [])
            direct = {needs} if isinstance(needs, str) else set(needs)
            return direct | {earlier for need in direct for earlier in before(need)}

        self.assertLessEqual({"checks", "image", "release"}, before("staging"))
        self.assertLessEqual({"checks", "image", "release", "staging"}, before("prod"))
        self.assertIn("prod", before("released"))
        digest = "${{ needs.image.outputs.digest }}"
        for environment in ("staging", "prod"):
            self.assertEqual(jobs[environment]["with"], {"environment": environment, "digest": digest})

    def test_deployment_steps_are_in_order(self) -> None:
        scripts = "\n".join(step.get("run", "") for step in steps(JOBS["deploy deploy"]))
        order = [
            "terraform-run apply",
            "promote-image",
            "update-kubeconfig",
            "install-controller",
            "roll-out",
        ]
        places = [scripts.index(word) for word in order]
        self.assertEqual(places, sorted(places))


class DependabotTest(TestCase):
    updates: list[dict[str, Any]] = read((ROOT / ".github" / "dependabot.yml").read_text())["updates"]

    def folders(self, ecosystem: str) -> set[str]:
        return {
            folder
            for update in self.updates
            if update["package-ecosystem"] == ecosystem
            for folder in update.get("directories") or [update["directory"]]
        }

    def holding(self, pattern: str) -> set[str]:
        """Return the folders with such a file, as Dependabot writes them."""
        return {f"/{'/'.join(path.parent.parts)}" for path in tree() if path.match(pattern)}

    def test_every_ecosystem_and_folder_is_covered(self) -> None:
        patterns = {
            "pip": "requirements*.txt",
            "docker": "Dockerfile",
            "docker-compose": "compose.yaml",
            "terraform": ".terraform.lock.hcl",
            "npm": "package.json",
        }
        # The nginx image is named in the Deployment.
        more = {"docker": {"/kubernetes/base"}}
        for ecosystem, pattern in patterns.items():
            with self.subTest(ecosystem):
                self.assertEqual(self.folders(ecosystem), self.holding(pattern) | more.get(ecosystem, set()))
        self.assertEqual(self.folders("github-actions"), {"/"})

    def test_updates_are_grouped_and_delayed(self) -> None:
        for update in self.updates:
            with self.subTest(update["package-ecosystem"]):
                self.assertEqual([group["patterns"] for group in update["groups"].values()], [["*"]])
                self.assertEqual(update["cooldown"]["default-days"], "7")

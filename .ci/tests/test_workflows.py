"""The workflows hold what docs/operations.md promises: who may do what, in which order, one at a time."""

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
    """YAML without types, since `on` is a word here and not true."""
    found: dict[str, Any] = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # It makes nothing but text.
    return found


TEXTS = {path.name: path.read_text() for path in sorted(FOLDER.iterdir())}
WORKFLOWS = {name: read(text) for name, text in TEXTS.items()}
JOBS: dict[str, dict[str, Any]] = {
    f"{name.removesuffix('.yml')} {job}": body
    for name, workflow in WORKFLOWS.items()
    for job, body in workflow["jobs"].items()
}

# All that each job may do. A job that is not here, or may do more, fails; add to it only with a reason.
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
    """Every script of every step, with the job's name."""
    return [(name, step["run"]) for name, job in JOBS.items() for step in steps(job) if "run" in step]


def roles(job: dict[str, Any]) -> list[str]:
    return [step["with"]["role-to-assume"] for step in steps(job) if "role-to-assume" in step.get("with", {})]


DEPLOYING = {name: job for name, job in JOBS.items() if any(role.endswith("-deploy") for role in roles(job))}
LOOKING = {name: job for name, job in JOBS.items() if any(role.endswith("-plan") for role in roles(job))}


class RightsTest(TestCase):
    def test_a_workflow_may_do_nothing_and_a_job_what_the_list_says(self) -> None:
        for name, workflow in WORKFLOWS.items():
            with self.subTest(name):
                self.assertEqual(workflow["permissions"], {})
        self.assertEqual({name: job.get("permissions") for name, job in JOBS.items()}, PERMISSIONS)

    def test_nobody_from_outside_starts_one_that_may_do_something(self) -> None:
        started = {word for workflow in WORKFLOWS.values() for word in workflow["on"]}
        self.assertEqual(started, {"pull_request", "push", "schedule", "workflow_call", "workflow_dispatch"})
        self.assertEqual(WORKFLOWS["main.yml"]["on"], {"push": {"branches": ["main"]}})

    def test_there_is_no_key_that_lives_long(self) -> None:
        for name, text in TEXTS.items():
            with self.subTest(name):
                self.assertNotIn("secrets.", text)
                self.assertIsNone(re.search(r"AKIA|access-key|ACCESS_KEY|secrets: *inherit", text))

    def test_only_a_job_that_takes_a_role_gets_the_token_for_it(self) -> None:
        called = {name: job for name, job in JOBS.items() if "uses" in job}
        for name, job in JOBS.items():
            with self.subTest(name):
                if "id-token" in job["permissions"] and name not in called:
                    self.assertEqual(len(roles(job)), 1)
                if roles(job):
                    self.assertIn("id-token", job["permissions"])

    def test_a_plan_is_for_those_who_may_write_and_takes_the_role_that_looks(self) -> None:
        self.assertEqual(list(LOOKING), ["pull-request plan"])
        for job in LOOKING.values():
            self.assertIn("github.event.pull_request.head.repo.full_name == github.repository", job["if"])
            # With an environment its subject would be another than the one that the role asks for.
            self.assertNotIn("environment", job)

    def test_whoever_writes_to_github_has_no_key_to_aws(self) -> None:
        for name, job in JOBS.items():
            if {what for what, how in job["permissions"].items() if how == "write"} - {"id-token"}:
                with self.subTest(name):
                    self.assertNotIn("id-token", job["permissions"])

    def test_what_is_checked_out_keeps_no_key(self) -> None:
        for name, job in JOBS.items():
            for step in steps(job):
                if step.get("uses", "").startswith("actions/checkout@"):
                    with self.subTest(name):
                        self.assertEqual(step["with"]["persist-credentials"], "false")

    def test_the_roles_are_those_that_terraform_makes(self) -> None:
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
    def test_every_action_is_pinned_to_a_commit_with_its_version_beside(self) -> None:
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

    def test_none_is_hidden_from_that_test(self) -> None:
        listed = sum(len(re.findall(r"^\s*(?:- )?uses: ", text, re.MULTILINE)) for text in TEXTS.values())
        used = [use for job in JOBS.values() for use in [job, *steps(job)] if "uses" in use]
        self.assertEqual(listed, len(used))

    def test_terraform_has_one_version_that_the_code_takes(self) -> None:
        versions = {
            step["with"]["terraform_version"]
            for job in JOBS.values()
            for step in steps(job)
            if "terraform_version" in step.get("with", {})
        }
        self.assertEqual(len(versions), 1)
        self.assertRegex(versions.pop(), r"^1\.(1[1-9]|[2-9][0-9])\.[0-9]+$")

    def test_the_image_is_built_once_for_those_who_run_it(self) -> None:
        pushing = [
            name
            for name, job in JOBS.items()
            for step in steps(job)
            if step.get("with", {}).get("push") == "true"
        ]
        self.assertEqual(pushing, ["main image"])


class ScriptsTest(TestCase):
    def test_no_text_of_somebody_else_becomes_part_of_a_script(self) -> None:
        for name, script in runs():
            with self.subTest(name):
                self.assertNotIn("${{", script)

    def test_every_script_that_is_named_is_there_and_can_be_run(self) -> None:
        named = {
            (name, path)
            for name, script in runs()
            for path in re.findall(r"[\w.]*(?:\.ci|kubernetes)/[\w-]+", script)
        }
        self.assertGreater(len({path for _, path in named}), 10)
        for name, path in sorted(named):
            with self.subTest(job=name, script=path):
                self.assertTrue((ROOT / path).is_file())
                self.assertTrue(os.access(ROOT / path, os.X_OK))

    def test_every_target_of_make_that_is_named_is_there(self) -> None:
        targets = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
        for name, script in runs():
            for target in re.findall(r"\bmake ([\w./-]+)$", script, re.MULTILINE):
                with self.subTest(job=name, target=target):
                    self.assertRegex(targets, rf"(?m)^{re.escape(target)}:")

    def test_shellcheck_is_content_with_every_script(self) -> None:
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

    def test_a_failure_inside_a_pipe_is_one(self) -> None:
        for name, workflow in WORKFLOWS.items():
            with self.subTest(name):
                self.assertEqual(workflow.get("defaults"), {"run": {"shell": "bash"}})
        for name, job in JOBS.items():
            with self.subTest(name):
                self.assertNotIn("continue-on-error", str(job))

    def test_all_that_a_contributor_runs_is_run_here_too(self) -> None:
        theirs = re.findall(r"^\s*((?:make|\.ci/)\S*.*)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
        self.assertGreater(len(theirs), 5)
        ours = "\n".join(script for name, script in runs() if name.startswith("checks "))
        for command in theirs:
            with self.subTest(command):
                self.assertIn(command, ours.splitlines())


class OrderTest(TestCase):
    def test_a_deployment_has_an_environment_and_waits_for_the_one_before(self) -> None:
        self.assertEqual(list(DEPLOYING), ["deploy deploy", "main image", "roll-back roll-back"])
        for name, job in DEPLOYING.items():
            with self.subTest(name):
                self.assertTrue(job["environment"])
                self.assertTrue(job["concurrency"]["group"])
                self.assertEqual(job["concurrency"]["cancel-in-progress"], "false")
        for changing in ("deploy deploy", "roll-back roll-back"):
            self.assertEqual(JOBS[changing]["concurrency"]["group"], "deploy-${{ inputs.environment }}")

    def test_only_what_changes_nothing_is_broken_off_by_a_newer_one(self) -> None:
        broken_off = {
            name
            for name, body in {**JOBS, **WORKFLOWS}.items()
            if body.get("concurrency", {}).get("cancel-in-progress", "false") != "false"
        }
        self.assertEqual(broken_off, {"pull-request.yml"})

    def test_no_job_runs_for_ever_nor_on_a_machine_that_changes(self) -> None:
        for name, job in JOBS.items():
            if "uses" not in job:
                with self.subTest(name):
                    # AWS's keys last two hours.
                    self.assertLess(int(job["timeout-minutes"]), 120)
                    self.assertEqual(job["runs-on"], "ubuntu-24.04")

    def test_staging_comes_after_the_checks_and_prod_after_staging(self) -> None:
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

    def test_a_deployment_goes_in_its_order(self) -> None:
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
        """Folders of the tree that hold such a file, as Dependabot writes them."""
        return {f"/{'/'.join(path.parent.parts)}" for path in tree() if path.match(pattern)}

    def test_every_kind_of_dependency_is_looked_after_where_it_is(self) -> None:
        patterns = {
            "pip": "requirements*.txt",
            "docker": "Dockerfile",
            "docker-compose": "compose.yaml",
            "terraform": ".terraform.lock.hcl",
            "npm": "package.json",
        }
        # The image of nginx stands in the Deployment.
        more = {"docker": {"/kubernetes/base"}}
        for ecosystem, pattern in patterns.items():
            with self.subTest(ecosystem):
                self.assertEqual(self.folders(ecosystem), self.holding(pattern) | more.get(ecosystem, set()))
        self.assertEqual(self.folders("github-actions"), {"/"})

    def test_each_comes_together_and_after_its_first_days(self) -> None:
        for update in self.updates:
            with self.subTest(update["package-ecosystem"]):
                self.assertEqual([group["patterns"] for group in update["groups"].values()], [["*"]])
                self.assertEqual(update["cooldown"]["default-days"], "7")

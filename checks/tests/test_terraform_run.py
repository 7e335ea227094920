"""Tests that planning changes nothing, and that a deployment applies exactly the plan that it showed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from commands import CommandTest


class TerraformRunTest(CommandTest):
    command = "terraform-run"
    stand_ins = ("terraform",)

    def setUp(self) -> None:
        super().setUp()
        self.here = self.place / "environments" / "staging"
        self.here.mkdir(parents=True)
        (self.here / "terraform.tfvars").touch()
        self.out = self.place / "out"

    def terraform(
        self, what: str, environment: str = "staging", **given: str
    ) -> subprocess.CompletedProcess[str]:
        settings = {"STATE_BUCKET": "state", "AWS_REGION": "eu-central-1", **given}
        settings["TERRAFORM_ENVIRONMENTS"] = str(self.here.parent)
        return self.run_command(what, environment, "out", **settings)

    def words(self) -> list[str]:
        """Return the calls without their folder."""
        return [call.removeprefix(f"terraform -chdir={self.here} ") for call in self.calls()]

    def test_plan_takes_no_lock(self) -> None:
        self.answer(f"terraform -chdir={self.here} show", words="Plan: 1 to add")
        self.assert_good(self.terraform("plan"))
        self.assertEqual([word.split()[0] for word in self.words()], ["init", "plan", "show"])
        self.assertIn("-lock=false", self.words()[1])
        self.assertEqual((self.out / "plan.txt").read_text(), "Plan: 1 to add")

    def test_apply_runs_its_own_plan_under_the_lock(self) -> None:
        self.answer(f"terraform -chdir={self.here} output", words='{"region": {"value": "eu-central-1"}}')
        self.assert_good(self.terraform("apply"))
        self.assertEqual([word.split()[0] for word in self.words()], ["init", "plan", "apply", "output"])
        plan = self.out / "plan"
        self.assertEqual(self.words()[1], f"plan -no-color -lock-timeout=10m -out={plan}")
        self.assertEqual(self.words()[2], f"apply -no-color -lock-timeout=10m {plan}")
        self.assertIn("eu-central-1", (self.out / "outputs.json").read_text())

    def test_outputs_change_nothing(self) -> None:
        self.answer(f"terraform -chdir={self.here} output", words="{}")
        self.assert_good(self.terraform("outputs"))
        self.assertEqual([word.split()[0] for word in self.words()], ["init", "output"])
        self.assertEqual((self.out / "outputs.json").read_text(), "{}")

    def test_state_and_provider_options_are_passed(self) -> None:
        self.assert_good(self.terraform("plan"))
        init = self.words()[0]
        for word in (
            "-backend-config=bucket=state",
            "-backend-config=region=eu-central-1",
            "-lockfile=readonly",
        ):
            self.assertIn(word, init)

    def test_failed_step_ends_the_run(self) -> None:
        for what, calls in {
            "plan": ("init", "plan", "show"),
            "apply": ("init", "plan", "apply", "output"),
        }.items():
            for number, call in enumerate(calls, start=1):
                with self.subTest(what=what, failing=call):
                    self.reset()
                    self.answer(f"terraform -chdir={self.here} {call}", status=1, words="Error: no")
                    self.assert_refused(self.terraform(what), "Error: no")
                    self.assertEqual(len(self.calls()), number)

    def test_plan_file_is_removed(self) -> None:
        for what in ("plan", "apply"):
            with self.subTest(what):
                self.out.mkdir(exist_ok=True)
                (self.out / "plan").write_text("not for everybody")
                self.assert_good(self.terraform(what))
                self.assertFalse((self.out / "plan").exists())

    def test_invalid_arguments_are_refused(self) -> None:
        self.assert_refused(self.terraform("destroy"), "neither plan nor apply nor outputs")
        self.assert_refused(self.terraform("plan", "test"), "neither staging nor prod")
        self.assert_refused(self.terraform("plan", STATE_BUCKET=""), "STATE_BUCKET is not set")
        self.assert_refused(self.terraform("plan", AWS_REGION=""), "AWS_REGION is not set")
        Path(self.here / "terraform.tfvars").unlink()
        self.assert_refused(self.terraform("plan"), "there is no terraform.tfvars")
        self.assertEqual(self.calls(), [])

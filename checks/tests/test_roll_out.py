"""Tests that a roll-out goes step by step, and that a failure at any step restores the previous version."""

from __future__ import annotations

import json
import shutil
import subprocess

from commands import ROOT, CommandTest

OUTPUTS = ROOT / "kubernetes" / "tests" / "outputs" / "prod.json"
DIGEST = f"sha256:{'d' * 64}"
SHOP = "kubectl --namespace lori-books"
REVISION = f"{SHOP} get deployment lori-books"
INGRESS = f"{SHOP} get ingress lori-books"
STATUS = f"{SHOP} rollout status deployment lori-books"
UNDO = f"{SHOP} rollout undo deployment lori-books"
BALANCER = "lori-books-prod-1.eu-central-1.elb.amazonaws.com"


class RollOutTest(CommandTest):
    command = "roll-out"
    stand_ins = ("kubectl", "smoke-test", "render")
    # Called by the real render, and works offline.
    pass_on = ("kubectl kustomize",)

    def setUp(self) -> None:
        super().setUp()
        self.host = json.loads(OUTPUTS.read_text())["site_host"]["value"]

    def standing(self, *, before: str = "7", after: str = "8") -> None:
        """Set up a cluster at revision `before`, which becomes `after` when the shop is applied."""
        self.answer(REVISION, words=before, times=1)
        self.answer(REVISION, words=after)
        self.answer(INGRESS, words=BALANCER)

    def roll_out(self, *, real_render: bool = False) -> subprocess.CompletedProcess[str]:
        environment = {
            "SMOKE_TEST": str(self.bin / "smoke-test"),
            "ROLL_OUT_PAUSE": "0.01",
            "ROLL_OUT_LOOKS": "4",
        }
        if not real_render:
            environment["KUBERNETES_RENDER"] = str(self.bin / "render")
        return self.run_command("prod", str(OUTPUTS), DIGEST, **environment)

    def steps(self) -> list[str]:
        """Return the calls that changed or checked something, without temporary file names."""
        short = []
        for call in self.calls():
            if "kubectl apply" in call:
                short.append(f"apply {call.rsplit('/', 1)[1].removesuffix('.yaml')}")
            elif "rollout status" in call:
                short.append("status")
            elif "rollout undo" in call:
                short.append(f"undo to {call.split('--to-revision ')[1]}")
            elif call.startswith("smoke-test"):
                short.append("smoke test")
        return short

    FORWARD = ("apply platform", "apply entrance", "apply app", "status", "smoke test", "apply commands")
    BACK = ("undo to 7", "status", "smoke test")

    def applied(self, part: str) -> str:
        return next(
            text
            for call in self.records()
            for file, text in call["files"].items()
            if file.endswith(f"{part}.yaml")
        )

    def test_steps_run_in_order(self) -> None:
        self.standing()
        done = self.roll_out()
        self.assert_good(done)
        self.assertEqual(self.steps(), list(self.FORWARD))
        self.assertIn(f"{DIGEST} serves in prod.", done.stdout)

    def test_image_is_applied_by_digest(self) -> None:
        self.standing()
        self.assert_good(self.roll_out(real_render=True))
        self.assertEqual(self.steps(), list(self.FORWARD))
        for part in ("app", "commands"):
            images = [line.split(": ")[1] for line in self.applied(part).splitlines() if " image: " in line]
            shops = [image for image in images if "/nginx-unprivileged:" not in image]
            self.assertEqual(len(images) - len(shops), 1 if part == "app" else 0)
            self.assertTrue(shops)
            self.assertEqual({image.split("@")[1] for image in shops}, {DIGEST})
        self.assertNotIn("image:", self.applied("entrance"))

    def test_smoke_test_goes_through_load_balancer(self) -> None:
        self.standing()
        self.assert_good(self.roll_out())
        look = f"smoke-test https://{self.host} --through {BALANCER} --within 300"
        self.assertIn(look, self.calls())

    def test_load_balancer_is_awaited(self) -> None:
        self.answer(INGRESS, words="", times=3)
        self.standing()
        self.assert_good(self.roll_out())
        self.assertEqual(sum(call.startswith(INGRESS) for call in self.calls()), 4)

    def test_missing_load_balancer_times_out(self) -> None:
        self.answer(INGRESS, words="", times=4)
        self.standing()
        done = self.roll_out()
        self.assert_refused(done, "there is no load balancer")
        self.assertEqual(self.steps(), [*self.FORWARD[:4], *self.BACK])

    def test_early_failure_changes_nothing(self) -> None:
        for failing in ("platform", "entrance"):
            with self.subTest(failing=failing):
                self.reset()
                self.answer("kubectl apply", status=1, words="refused", times=1)
                if failing == "entrance":
                    self.answers.insert(0, ["kubectl apply", 0, "", 1])
                self.standing()
                done = self.roll_out()
                self.assert_refused(done, "the shop was not changed")
                self.assertEqual(self.steps()[-1], f"apply {failing}")

    def test_unknown_revision_changes_nothing(self) -> None:
        self.answer(REVISION, status=1, words="connection refused")
        done = self.roll_out()
        self.assert_refused(done, "the shop was not changed")
        self.assertEqual(self.steps(), ["apply platform", "apply entrance"])

    def failing_at(self, step: str) -> None:
        match step:
            case "apply app":
                self.answer("kubectl apply", times=2)
                self.answer("kubectl apply", status=1, words="refused", times=1)
            case "status":
                self.answer(STATUS, status=1, words="exceeded its progress deadline", times=1)
            case "smoke test":
                self.answer("smoke-test", status=1, words="is not well", times=1)
            case "apply commands":
                self.answer("kubectl apply", times=3)
                self.answer("kubectl apply", status=1, words="refused", times=1)
        self.standing()

    def test_every_failed_step_rolls_back(self) -> None:
        for number, step in enumerate(self.FORWARD[2:], start=3):
            with self.subTest(step=step):
                self.reset()
                self.failing_at(step)
                done = self.roll_out()
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertEqual(self.steps(), [*self.FORWARD[:number], *self.BACK])
                self.assertIn("what served before serves again", done.stderr)
                self.assertNotIn("serves in prod", done.stdout)

    def test_diagnostics_are_printed_before_rollback(self) -> None:
        self.failing_at("status")
        self.answer(f"{SHOP} logs", words="migrate: no such table\n")
        done = self.roll_out()
        self.assertLess(done.stderr.index("no such table"), done.stderr.index("going back"))

    def test_failed_diagnostics_do_not_stop_rollback(self) -> None:
        self.failing_at("status")
        for question in ("get pods", "get events", "logs"):
            self.answer(f"{SHOP} {question}", status=1, words="no")
        done = self.roll_out()
        self.assertEqual(done.returncode, 1)
        self.assertIn("undo to 7", self.steps())

    def test_unchanged_revision_is_not_rolled_back(self) -> None:
        # With the same image and settings the Deployment keeps its revision.
        self.answer("smoke-test", status=1, words="is not well")
        self.standing(before="7", after="7")
        done = self.roll_out()
        self.assert_refused(done, "roll-out 7 goes on serving")
        self.assertEqual(self.steps(), list(self.FORWARD[:5]))

    def test_first_rollout_has_no_rollback(self) -> None:
        self.answer("smoke-test", status=1, words="is not well")
        self.standing(before="", after="1")
        done = self.roll_out()
        self.assert_refused(done, "had no roll-out before")
        self.assertEqual(self.steps(), list(self.FORWARD[:5]))

    def test_failed_rollback_asks_for_help(self) -> None:
        for call in (UNDO, STATUS, "smoke-test"):
            with self.subTest(failing=call):
                self.reset()
                self.answer("smoke-test", status=1, words="is not well", times=1)
                if call == STATUS:
                    self.answer(STATUS, times=1)
                self.answer(call, status=1, words="no")
                self.standing()
                done = self.roll_out()
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("THE WAY BACK FAILED: prod needs a person now.", done.stderr)

    def test_render_failure_changes_nothing(self) -> None:
        wrong = {"an image by tag": ("prod", "lori-books:latest"), "another environment": ("staging", DIGEST)}
        for name, (environment, image) in wrong.items():
            with self.subTest(name):
                done = self.run_command(environment, str(OUTPUTS), image)
                self.assert_refused(done, "nothing was changed")
                self.assertEqual(self.steps(), [])

    def test_a_missing_kubectl_is_named(self) -> None:
        bare = self.place / "bare"
        bare.mkdir()
        for tool in ("bash", "dirname", "env"):
            (bare / tool).symlink_to(str(shutil.which(tool)))
        done = self.run_command("prod", str(OUTPUTS), DIGEST, PATH=str(bare))
        self.assert_refused(done, "needs kubectl")

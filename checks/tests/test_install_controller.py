"""Tests that the controller is installed in a pinned version, with values it cannot detect on Fargate."""

from __future__ import annotations

import json

from commands import ROOT, CommandTest

OUTPUTS = ROOT / "kubernetes" / "tests" / "outputs" / "prod.json"


class InstallControllerTest(CommandTest):
    command = "install-controller"
    stand_ins = ("helm",)

    def test_helm_gets_cluster_region_and_vpc(self) -> None:
        self.assert_good(self.run_command("prod", str(OUTPUTS)))
        [record] = self.records()
        [values] = record["files"].values()
        outputs = {name: output["value"] for name, output in json.loads(OUTPUTS.read_text()).items()}
        for line in (
            f"clusterName: {outputs['cluster_name']}",
            f"region: {outputs['region']}",
            f"vpcId: {outputs['vpc_id']}",
            f"eks.amazonaws.com/role-arn: {outputs['load_balancer_controller_role_arn']}",
        ):
            self.assertIn(line, values)

    def test_version_is_pinned_and_install_is_atomic(self) -> None:
        self.assert_good(self.run_command("prod", str(OUTPUTS)))
        self.assertRegex(self.calls()[0], r" --version [0-9]+\.[0-9]+\.[0-9]+ ")
        for word in ("--atomic", "--wait", "--namespace kube-system"):
            self.assertIn(word, self.calls()[0])

    def test_outputs_of_other_environment_are_refused(self) -> None:
        self.assert_refused(self.run_command("staging", str(OUTPUTS)), "render:")
        self.assertEqual(self.calls(), [])

    def test_helm_failure_ends_the_run(self) -> None:
        self.answer("helm", status=1, words="timed out waiting for the condition")
        self.assert_refused(self.run_command("prod", str(OUTPUTS)), "timed out")

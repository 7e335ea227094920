"""Turns a rendered Deployment into a Pod that podman can run locally, without AWS.

    kubernetes/render prod app … |
        python checks/deployment_as_pod.py IMAGE NGINX VARIABLE=VALUE … |
        podman kube play -

Containers, their order, arguments, security contexts, resources and mounts are unchanged. IMAGE replaces the
image of the shop, and NGINX that of nginx. Features that need a cluster are removed: probes, the preStop
pause, the service account. The given variables are set in the shop's ConfigMap; those with an empty value are
removed.
"""

# ruff: noqa: INP001  # A script, not a package.
from __future__ import annotations

import sys

import yaml

image, nginx = sys.argv[1:3]
changes = dict(word.partition("=")[::2] for word in sys.argv[3:])
objects = [found for found in yaml.safe_load_all(sys.stdin) if found]
(deployment,) = (found for found in objects if found["kind"] == "Deployment")
configurations = [found for found in objects if found["kind"] == "ConfigMap"]
(configuration,) = (found for found in configurations if "SITE_URL" in found["data"])

template = deployment["spec"]["template"]
spec = template["spec"]
for cluster_only in ("serviceAccountName", "topologySpreadConstraints"):
    spec.pop(cluster_only, None)
spec["restartPolicy"] = "Never"
for container in spec["initContainers"] + spec["containers"]:
    container["image"] = nginx if container["name"] == "nginx" else image
    container["imagePullPolicy"] = "Never"
    for cluster_only in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        container.pop(cluster_only, None)

variables = configuration["data"] | changes
configuration["data"] = {name: value for name, value in variables.items() if value}
pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "lori-books",
        "labels": template["metadata"]["labels"],
        # Without it podman removes finished init containers, and their exit codes with them.
        "annotations": {"io.podman.annotations.init.container.type": "always"},
    },
    "spec": spec,
}
yaml.safe_dump_all([*configurations, pod], sys.stdout)

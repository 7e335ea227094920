"""Make of a rendered Deployment a Pod that podman can play, on this machine and without AWS.

    kubernetes/render prod app … | python checks/as_pod.py IMAGE NGINX VARIABLE=VALUE … | podman kube play -

Containers, their order, words, rights, sizes and mounts stay as they are. The shop's image becomes IMAGE, and
that of nginx NGINX. What only a cluster does is left out: probes, the preStop pause, the service account.
In the shop's ConfigMap the variables that are given are set, and those given without a value are taken away.
"""

# ruff: noqa: INP001  # A script beside others, not a package.
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
        # Else podman removes init containers that have ended, and what they came to with them.
        "annotations": {"io.podman.annotations.init.container.type": "always"},
    },
    "spec": spec,
}
yaml.safe_dump_all([*configurations, pod], sys.stdout)

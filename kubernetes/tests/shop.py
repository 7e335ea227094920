"""Collects the objects of both environments, and facts about the application and Terraform."""

# ruff: noqa: INP001  # Run by unittest from this folder.
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "kubernetes"))

import rendering  # noqa: E402  # From the folder that was just added.
from object_checks import Application, Object, Shop  # noqa: E402

DIGEST = "sha256:" + "5" * 64
# The address of a pod, as the load balancer and the kubelet use it in Host.
POD = "10.0.1.23:8080"


def outputs_text(environment: str) -> str:
    return (HERE / "outputs" / f"{environment}.json").read_text()


def outputs(environment: str) -> dict[str, str]:
    return rendering.read_outputs(outputs_text(environment), environment)


@cache
def rendered(environment: str, part: str) -> str:
    return rendering.render(environment, part, outputs_text(environment), DIGEST)


def objects(environment: str) -> list[Object]:
    """Return the objects that a deployment leaves in the cluster: the app and its commands."""
    text = "\n---\n".join(rendered(environment, part) for part in ("app", "commands"))
    return list(yaml.safe_load_all(text))


def python_of_the_application() -> str:
    """Return PYTHON, else that of .venv."""
    python = os.environ.get("PYTHON") or str(ROOT / ".venv" / "bin" / "python")
    if not Path(python).exists():
        raise FileNotFoundError(f"There is no Python of the shop at {python}: `make test` sets it up.")
    return python


@cache
def answers(environment: str) -> dict[str, Any]:
    """Return what the shop reports when started with the environment of a pod."""
    (config,) = (one for one in objects(environment) if "SITE_URL" in one.get("data", {}))
    with tempfile.TemporaryDirectory(prefix="lori-pod.") as place:
        given = {
            "PATH": os.environ["PATH"],
            **config["data"],
            # A pod fetches these.
            "SECRET_KEY": "a-key-of-no-shop-" + "0123456789abcdef" * 4,
            "METRICS_TOKEN": "a-token-of-no-shop-0123456789abcdef",
            # Set in the image.
            "STATIC_ROOT": f"{place}/static",
        }
        asked = [POD, "/readyz", POD, "/healthz", "10.0.1.23", "/readyz", "10.0.1.23", "/healthz", POD, "/"]
        done = subprocess.run(  # noqa: S603  # Our own script.
            [python_of_the_application(), str(HERE / "ask_app.py"), f"{place}/shop.sqlite3", *asked],
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise AssertionError(f"The shop does not start as {environment}'s pods would:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def application(environment: str) -> Application:
    said = answers(environment)
    return Application(
        commands=set(said["commands"]),
        read=set(said["read"]),
        required=set(said["required"]),
        graceful_timeout=said["graceful_timeout"],
        keepalive=said["keepalive"],
        shutdown_timeout=of_nginx("worker_shutdown_timeout"),
        nginx_keepalive=of_nginx("keepalive_timeout"),
        # A request body or a response on each connection.
        nginx_disk=of_nginx("worker_connections")
        * max(of_nginx("client_max_body_size"), of_nginx("proxy_max_temp_file_size")),
    )


def of_nginx(directive: str) -> int:
    """Return the number of a directive in deploy/nginx.conf, in seconds or megabytes."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    (value,) = re.findall(rf"^ *{directive} ([0-9]+)[sm]?;$", text, re.MULTILINE)
    return int(value)


@cache
def of_terraform(environment: str, variable: str, module: str = "cluster") -> str:
    """Return the value of a module's variable in an environment, or its first default."""
    terraform = ROOT / "terraform"
    way = [
        terraform / "environments" / environment,
        terraform / "modules" / "shop",
        terraform / "modules" / module,
    ]
    for folder in way[:-1]:
        passed = re.search(rf"^ +{variable} += (.*)$", (folder / "main.tf").read_text(), re.MULTILINE)
        if passed and passed[1] != f"var.{variable}":
            raise AssertionError(f"{folder}/main.tf makes {variable} of {passed[1]}, which is not read here")
    for folder in way:
        declared = re.search(
            rf'^variable "{variable}" {{$(.*?)^}}$',
            (folder / "variables.tf").read_text(),
            re.MULTILINE | re.DOTALL,
        )
        default = declared and re.search(r'^  default += "([^"]+)"$', declared[1], re.MULTILINE)
        if default:
            return default[1]
    raise AssertionError(f"no variable {variable} on the way to {module} has a default")


def fargate(environment: str) -> list[dict[str, Any]]:
    """Return what Fargate's profiles select; the shop's selects just a namespace."""
    text = (ROOT / "terraform" / "modules" / "cluster" / "fargate.tf").read_text()
    (profiles,) = re.findall(
        r'^resource "aws_eks_fargate_profile" "\w+" {$(.*?)^}$', text, re.MULTILINE | re.DOTALL
    )
    if "var.namespace" not in profiles or "labels" in profiles:
        raise AssertionError(
            "fargate.tf selects pods otherwise than by the namespace, which is not read here"
        )
    return [{"namespace": of_terraform(environment, "namespace")}]


def network(environment: str) -> str:
    """Return the address range of the environment's VPC."""
    text = (ROOT / "terraform" / "environments" / environment / "main.tf").read_text()
    (cidr,) = re.findall(r'^ +cidr += "([0-9./]+)"$', text, re.MULTILINE)
    return str(cidr)


def shop(environment: str) -> Shop:
    namespace = of_terraform(environment, "namespace")
    account = of_terraform(environment, "service_account")
    return Shop(
        objects=objects(environment),
        outputs=outputs(environment),
        application=application(environment),
        fargate=fargate(environment),
        trusted=f"system:serviceaccount:{namespace}:{account}",
        watched=of_terraform(environment, "ingress", "observability"),
        network=network(environment),
    )

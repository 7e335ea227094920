"""Renders the Kubernetes objects of an environment with the outputs of Terraform.

The files next to this one contain `${name}`, the name of an output, wherever Terraform decides the value. A
temporary copy of them is filled in and passed to `kubectl kustomize`, so no generated file can be committed.
An output that is missing, empty or malformed is refused by name before anything is printed: for example a
certificate of another region, staging's repository in prod, or an endpoint with a port where a host belongs.

Uses the standard library only, so that it runs wherever kubectl does.
"""

# ruff: noqa: INP001  # A script, not a package.
from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = ("staging", "prod")
PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
DIGEST = "sha256:[0-9a-f]{64}"

# The parts, in the order in which they are applied.
PARTS = {
    "controller": "the values of the load balancer controller's Helm chart",
    "platform": "what the cluster needs once: logging, the class of ingress",
    # The controller adds its readiness gate to a pod only if it already knows the pod's target group.
    "entrance": "namespace, service and load balancer, to be there before the first pod",
    "app": "the shop, all but its commands",
    # A command of the new image must not run before its migration, or remain after a roll-out is undone.
    "commands": "the commands by the clock, once the roll-out has succeeded",
}
WITH_IMAGE = ("app", "commands")


class Refusal(Exception):
    """The input is wrong; the message is a sentence that says why."""


def shapes(environment: str, region: str, account_id: str) -> dict[str, str]:
    """Return a pattern for each output; ARNs and names must be of this environment, region and account."""
    arn, here = r"arn:aws(?:-[a-z]+)*", f"{re.escape(region)}:{re.escape(account_id)}"
    host = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+"
    secret = rf"{arn}:secretsmanager:{here}:secret:[\w/+=.@!-]+"
    return {
        "region": r"[a-z]{2}(?:-[a-z]+)+-[0-9]",
        "account_id": "[0-9]{12}",
        "environment": environment,
        "cluster_name": f"lori-books-{environment}",
        "vpc_id": "vpc-[0-9a-f]+",
        "ecr_repository_url": rf"{account_id}\.dkr\.ecr\.{region}\.amazonaws\.com(?:\.cn)?"
        f"/lori-books-{environment}",
        "app_role_arn": rf"{arn}:iam::{account_id}:role/[\w+=,.@/-]+",
        "load_balancer_controller_role_arn": rf"{arn}:iam::{account_id}:role/[\w+=,.@/-]+",
        "certificate_arn": rf"{arn}:acm:{here}:certificate/[0-9a-f-]+",
        "site_host": host,
        "database_host": host,
        "database_port": "[1-9][0-9]{0,4}",
        "database_name": "[a-z][a-z0-9_]*",
        "database_secret_arn": secret,
        "app_secret_arn": secret,
        "media_bucket": "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "log_group_name": r"[\w./#-]+",
        "mail_from": rf"[A-Za-z0-9._+-]+@{host}",
    }


def read_outputs(text: str, environment: str) -> dict[str, str]:
    """Return the values of `terraform output -json`. Raises Refusal with everything that is wrong."""
    try:
        given = json.loads(text)
    except ValueError:
        raise Refusal("The outputs are not JSON; give what `terraform output -json` prints.") from None
    if not isinstance(given, dict) or not all(
        isinstance(output, dict) and "value" in output for output in given.values()
    ):
        raise Refusal("The outputs are not of the form that `terraform output -json` prints.")
    values = {name: output["value"] for name, output in given.items()}

    def text_of(name: str) -> str:
        value = values.get(name)
        return value if isinstance(value, str) else ""

    wrong = []
    for name, shape in shapes(environment, text_of("region"), text_of("account_id")).items():
        value = values.get(name)
        if name not in values:
            wrong.append(f"The output {name} is missing.")
        elif not value:
            wrong.append(f"The output {name} is empty.")
        elif not isinstance(value, str):
            wrong.append(f"The output {name} is not text.")
        elif not re.fullmatch(shape, value):
            wrong.append(f"The output {name} is {value!r}, which is not what {environment} can have there.")
    if wrong:
        raise Refusal("\n".join(wrong))
    return {name: values[name] for name in shapes(environment, "", "")}


def read_image(image: str, repository: str) -> str:
    """Return the digest of `image`, which may follow `repository` and @.

    Raises Refusal for a tag, since a tag can be moved.
    """
    name, _, digest = image.rpartition("@")
    if not re.fullmatch(DIGEST, digest):
        raise Refusal(f"The image {image!r} is not given by digest (sha256: and 64 hexadecimal digits).")
    if name and name != repository:
        raise Refusal(f"The image lies in {name}, but this environment's repository is {repository}.")
    return digest


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders in `text` that have a value."""
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def kustomize(folder: str, values: Mapping[str, str]) -> str:
    """Return the objects of one of our folders with these values."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise Refusal("kubectl is not on this machine; it is what builds the objects.")
    with tempfile.TemporaryDirectory(prefix="lori-kubernetes.") as place:
        for part in ("base", "overlays", "platform"):
            for source in (HERE / part).rglob("*"):
                if source.is_file():
                    target = Path(place) / source.relative_to(HERE)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(fill(source.read_text(), values))
        # kustomize reads no files outside its folder.
        shutil.copy(HERE.parent / "deploy" / "nginx.conf", Path(place) / "base" / "nginx.conf.template")
        built = subprocess.run(  # noqa: S603  # No shell, and a folder that we name.
            [kubectl, "kustomize", str(Path(place) / folder)], capture_output=True, text=True, check=False
        )
    if built.returncode:
        raise Refusal(f"kubectl kustomize refused {folder}:\n{built.stderr.strip()}")
    return built.stdout


def belongs(kind: str, part: str) -> bool:
    if part == "entrance":
        return kind in {"Namespace", "Service", "Ingress"}
    return (kind == "CronJob") == (part == "commands")


def kind_of(document: str) -> str:
    found = re.search(r"^kind: (\w+)$", document, re.MULTILINE)
    if found is None:
        raise Refusal(f"kubectl kustomize printed an object without a kind:\n{document}")
    return found[1]


def render(environment: str, part: str, outputs: str, image: str | None = None) -> str:
    """Return the objects of `part`, or the controller's values, as YAML. Raises Refusal."""
    values = read_outputs(outputs, environment)
    if image is not None:
        values["image_digest"] = read_image(image, values["ecr_repository_url"])
    elif part in WITH_IMAGE:
        raise Refusal(f"{part} needs the image: give its digest as --image.")

    if part == "controller":
        text = fill((HERE / "platform" / "controller-values.yaml").read_text(), values)
    elif part == "platform":
        text = kustomize("platform", values)
    else:
        documents = kustomize(f"overlays/{environment}", values).split("\n---\n")
        text = "\n---\n".join(
            document.strip("\n") for document in documents if belongs(kind_of(document), part)
        )
    left = sorted(set(PLACEHOLDER.findall(text)))
    if left:
        raise Refusal(f"No output of Terraform is named {', '.join(left)}.")
    return text.rstrip("\n") + "\n"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="kubernetes/render",
        description="Print what to apply to an environment's cluster, made of Terraform's outputs.",
        epilog="parts, in the order in which they are applied:\n"
        + "\n".join(f"  {part:<12}{what}" for part, what in PARTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument(
        "--outputs", required=True, metavar="FILE", help="what `terraform output -json` printed; - reads it"
    )
    parser.add_argument("--image", help="its digest, alone or behind the repository and @")
    parser.add_argument("--to", metavar="FILE", type=Path, help="where to write it, instead of printing")
    given = parser.parse_args(arguments)
    try:
        try:
            outputs = sys.stdin.read() if given.outputs == "-" else Path(given.outputs).read_text()
        except OSError as error:
            raise Refusal(f"The outputs cannot be read: {error}.") from None
        text = render(given.environment, given.part, outputs, given.image)
    except Refusal as refusal:
        for sentence in str(refusal).splitlines():
            print(f"render: {sentence}", file=sys.stderr)  # noqa: T201  # A script, which prints.
        return 1
    if given.to:
        given.to.write_text(text)
    else:
        sys.stdout.write(text)
    return 0

"""Rules for the objects of an environment: one function for each rule.

A rule gets the objects as they would be applied and facts about the application, and yields a sentence for
each problem. broken.py breaks each rule, and test_objects.py checks that the rule reports it.
"""

# ruff: noqa: INP001  # Run by unittest from this folder.
from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

# Fargate's sizes: CPU in thousandths, with the possible memory in MiB.
FARGATE = {
    250: [512, 1024, 2048],
    500: [1024 * size for size in range(1, 5)],
    1000: [1024 * size for size in range(2, 9)],
    2000: [1024 * size for size in range(4, 17)],
    4000: [1024 * size for size in range(8, 31)],
    8000: [1024 * size for size in range(16, 61, 4)],
    16000: [1024 * size for size in range(32, 121, 8)],
}
# MiB that Fargate adds to a pod's memory for its own processes.
FARGATE_OVERHEAD = 256
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
ALB = "alb.ingress.kubernetes.io/"
# Read by boto3, which is not loaded in these tests.
READ_BY_LIBRARIES = {"AWS_REGION"}
# The shop starts without these, but not as it must run on Fargate: it would write covers to a read-only disk,
# take the load balancer for every client, have no database password, and let staff log in with a password
# alone.
NEEDED_BY_PODS = {
    "TRUSTED_PROXIES",
    "MEDIA_BUCKET",
    "DATABASE_SECRET_ARN",
    "APP_SECRET_ARN",
    "LOG_FORMAT",
    "STAFF_SECOND_FACTOR",
}
# Required by the shop, but fetched from the secret of APP_SECRET_ARN.
FETCHED = {"SECRET_KEY"}
# The third-party image, with its registry.
NGINX = "docker.io/nginxinc/nginx-unprivileged"
# Commands that must never be scheduled: only a migration or a person may make their changes.
NEVER_BY_THE_CLOCK = {"migrate", "makemigrations", "flush", "load_demo", "serve", "shell"}


@dataclass
class Application:
    """Facts about the application, collected by ask_app.py."""

    commands: set[str]
    read: set[str]
    required: set[str]
    graceful_timeout: int
    keepalive: int
    # nginx: the first two are from its configuration.
    shutdown_timeout: int
    nginx_keepalive: int
    nginx_disk: int


@dataclass
class Shop:
    """The objects of an environment, with the Terraform outputs that they were rendered with."""

    objects: list[Object]
    outputs: dict[str, str]
    application: Application
    # From Terraform: the pods that Fargate runs, the service account that the shop's role trusts, the ingress
    # whose load balancer the alarms watch, and the addresses of the VPC.
    fargate: list[dict[str, Any]]
    trusted: str
    watched: str
    network: str

    def all(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str) -> Object:
        (found,) = self.all(kind)
        return found

    @property
    def web(self) -> Object:
        """The pod template of the server."""
        return self.one("Deployment")["spec"]["template"]

    @property
    def pods(self) -> list[tuple[str, Object]]:
        """Every pod template, with the name of its owner."""
        return [("the Deployment", self.web)] + [
            (f"the CronJob {job['metadata']['name']}", job["spec"]["jobTemplate"]["spec"]["template"])
            for job in self.all("CronJob")
        ]

    @property
    def containers(self) -> list[tuple[str, Object]]:
        return [
            (f"{container['name']} of {owner}", container)
            for owner, pod in self.pods
            for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]
        ]

    def of_web(self, name: str) -> Object:
        """Return a container of the server's pod."""
        (found,) = (one for one in self.web["spec"]["containers"] if one["name"] == name)
        return found

    @property
    def ours(self) -> list[tuple[str, Object]]:
        """The containers that run the shop's image."""
        return [(name, one) for name, one in self.containers if one["name"] != "nginx"]

    @property
    def config(self) -> Object:
        """The ConfigMap with the shop's environment."""
        (found,) = (one for one in self.all("ConfigMap") if "SITE_URL" in one["data"] or len(one["data"]) > 1)
        return found

    @property
    def annotations(self) -> dict[str, str]:
        return self.one("Ingress")["metadata"]["annotations"]

    @property
    def environment(self) -> dict[str, str]:
        return self.config["data"]


def milli(quantity: str) -> int:
    return int(quantity[:-1]) if str(quantity).endswith("m") else round(float(quantity) * 1000)


def mebi(quantity: str) -> int:
    found = re.fullmatch("([0-9]+)(Mi|Gi)", str(quantity))
    if found is None:
        raise ValueError(f"{quantity} is no whole number of Mi or Gi")
    return int(found[1]) * (1024 if found[2] == "Gi" else 1)


def covers(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def attributes(text: str) -> dict[str, str]:
    """Parse `a=1,b=2` in an annotation."""
    return dict(pair.strip().split("=", 1) for pair in text.split(",")) if text.strip() else {}


# ---------------------------------------------------------------- images and what runs in them


def images_are_one_digest(shop: Shop) -> Iterator[str]:
    """Every container runs exactly the image that was tested."""
    images = {container["image"] for _, container in shop.ours}
    if not re.fullmatch(rf"{NGINX}:[0-9.]+-alpine@sha256:[0-9a-f]{{64}}", shop.of_web("nginx")["image"]):
        yield f"the image of nginx is not {NGINX} with a tag and a digest"
    for name, container in shop.ours:
        if not re.fullmatch(r"[^@:]+@sha256:[0-9a-f]{64}", container["image"]):
            yield f"the image of {name} is not given by digest alone: {container['image']}"
    if len(images) != 1:
        yield f"the containers do not run one image: {sorted(images)}"
    for image in images:
        if image.partition("@")[0] != shop.outputs["ecr_repository_url"]:
            yield f"the image {image} is not of the environment's repository"


def only_the_init_container_migrates(shop: Shop) -> Iterator[str]:
    """No container writes migrations either: developers do."""
    spec = shop.web["spec"]
    if [(one["name"], one.get("args")) for one in spec.get("initContainers", [])] != [
        ("migrate", ["migrate"])
    ]:
        yield "the Deployment's one init container is not `migrate`, which runs `migrate`"
    if sorted(one["name"] for one in spec["containers"]) != ["nginx", "serve"]:
        yield "the Deployment's containers are not `serve` and `nginx`"
    elif shop.of_web("serve").get("args") != ["serve"]:
        yield "the container `serve` does not run `serve`"
    for name, container in shop.containers:
        words = [*container.get("command", []), *container.get("args", [])]
        if "command" in container:
            yield f"{name} goes past the image's entrypoint"
        if any("makemigrations" in word for word in words):
            yield f"{name} runs makemigrations"
        if not name.startswith("migrate of ") and any(re.search(r"\bmigrate\b", word) for word in words):
            yield f"{name} migrates"


def commands_exist(shop: Shop) -> Iterator[str]:
    jobs = shop.all("CronJob")
    for job in jobs:
        name = f"the CronJob {job['metadata']['name']}"
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        command = (container.get("args") or [""])[0]
        if command not in shop.application.commands:
            yield f"{name} runs {command!r}, which is no command of manage.py"
        if command in NEVER_BY_THE_CLOCK:
            yield f"{name} runs {command}, which the clock must not"
    run = {
        job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"][0]: job["spec"][
            "schedule"
        ].split()
        for job in jobs
    }
    for command in (
        "expire_holds",
        "flushexpiredtokens",
        "clearsessions",
        "purge_idempotency_keys",
        "check_books",
    ):
        if command not in run:
            yield f"nothing runs {command}"
            continue
        minute, hour, *rest = run[command]
        wanted = r"\*" if command == "expire_holds" else "[0-9]+"
        if rest != ["*"] * 3 or not minute.isdigit() or not re.fullmatch(wanted, hour):
            often = "hourly" if command == "expire_holds" else "daily"
            yield f"{command} is to be run {often}, not at {' '.join(run[command])}"


def jobs_are_bounded(shop: Shop) -> Iterator[str]:
    """No job overlaps with itself, runs forever, or leaves pods on a machine that costs money."""
    for job in shop.all("CronJob"):
        name, spec = f"the CronJob {job['metadata']['name']}", job["spec"]
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{name} may run twice at once"
        if not spec.get("startingDeadlineSeconds"):
            yield f"{name} has no deadline to start by"
        for kept in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            if spec.get(kept) is None:
                yield f"{name} does not say {kept}"
        inner = spec["jobTemplate"]["spec"]
        if not 0 < inner.get("activeDeadlineSeconds", 0) < 3600:
            yield f"{name} may run into its next hour"
        if inner.get("backoffLimit") is None or inner["backoffLimit"] > 3:
            yield f"{name} tries again too often"
        if not 0 < inner.get("ttlSecondsAfterFinished", 0) <= 3600:
            yield f"{name} leaves its finished pods"
        if inner["template"]["spec"].get("restartPolicy") != "Never":
            yield f"{name} restarts its container, and its log is lost with each"


# ---------------------------------------------------------------- size


def requests_equal_limits(shop: Shop) -> Iterator[str]:
    for name, container in shop.containers:
        given = container.get("resources", {})
        if not {"cpu", "memory"} <= given.get("requests", {}).keys():
            yield f"{name} does not request CPU and memory"
        if given.get("requests") != given.get("limits"):
            yield f"{name}: requests and limits differ"
    spec = shop.web["spec"]
    for unit, of in ((milli, "cpu"), (mebi, "memory")):
        first, later = (
            sum(
                unit(one.get("resources", {}).get("requests", {}).get(of, "0Mi" if of == "memory" else "0m"))
                for one in some
            )
            for some in (spec.get("initContainers", []), spec["containers"])
        )
        if first != later:
            yield f"migrate is not given the {of} of serve and nginx: the larger one decides what is paid"


def fargate_has_the_size(shop: Shop) -> Iterator[str]:
    """The size must be exact: Fargate rounds up, and the difference is paid for but cannot be used."""
    for owner, pod in shop.pods:

        def amount(unit: Callable[[str], int], of: str, spec: Object = pod["spec"]) -> int:
            first = [unit(one["resources"]["requests"][of]) for one in spec.get("initContainers", [])]
            return max([sum(unit(one["resources"]["requests"][of]) for one in spec["containers"]), *first])

        cpu, memory = amount(milli, "cpu"), amount(mebi, "memory") + FARGATE_OVERHEAD
        if memory not in FARGATE.get(cpu, []):
            yield f"Fargate has no {cpu}m CPU with {memory} MiB, as {owner} wants with its overhead"


def the_budget_lets_a_pod_go(shop: Shop) -> Iterator[str]:
    """Otherwise Fargate cannot be patched. Compared with the autoscaler's minimum number of pods."""
    deployment, scaler, budget = (
        shop.one(kind) for kind in ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    )
    least, most = scaler["spec"].get("minReplicas", 1), scaler["spec"]["maxReplicas"]
    if least < 2:
        yield "one pod alone is no shop: at least 2"
    if most <= least:
        yield "the autoscaler has nothing to scale"
    if "replicas" in deployment["spec"]:
        yield "the Deployment says how many replicas: each roll-out would undo what the autoscaler found"
    target = scaler["spec"]["scaleTargetRef"]
    if (target["kind"], target["name"], target["apiVersion"]) != (
        "Deployment",
        deployment["metadata"]["name"],
        deployment["apiVersion"],
    ):
        yield "the autoscaler scales something else"
    spec = budget["spec"]
    if "%" in str(spec.get("minAvailable", "")) + str(spec.get("maxUnavailable", "")):
        yield "the budget is a percentage, which is rounded"
    elif "minAvailable" in spec and not 0 < spec["minAvailable"] < least:
        yield f"the budget keeps {spec['minAvailable']} of {least} pods: none may go"
    elif "minAvailable" not in spec and not 0 < spec.get("maxUnavailable", 0) < least:
        yield f"the budget lets {spec.get('maxUnavailable', 0)} of {least} pods go at once"
    update = deployment["spec"].get("strategy", {}).get("rollingUpdate", {})
    if update.get("maxUnavailable") != 0 or not update.get("maxSurge"):
        yield "a roll-out ends pods before their successors are ready"


# ---------------------------------------------------------------- consistency


def selectors_find_the_server_alone(shop: Shop) -> Iterator[str]:
    name = shop.one("Namespace")["metadata"]["name"]
    for one in shop.objects:
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != name:
            yield f"{one['kind']} {one['metadata']['name']} is not in the namespace {name}"
    labels = shop.web["metadata"]["labels"]
    if labels.get(NAME) != "lori-books":
        yield f"the server's pods are not labelled {NAME}: lori-books"
    selectors = {
        "the Deployment": shop.one("Deployment")["spec"]["selector"]["matchLabels"],
        "the Service": shop.one("Service")["spec"].get("selector", {}),
        "the budget": shop.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        "the spread": shop.web["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    }
    for who, selector in selectors.items():
        if not selector or not covers(selector, labels):
            yield f"{who} does not select the server's pods"
        for owner, pod in shop.pods[1:]:
            if covers(selector, pod["metadata"]["labels"]):
                yield f"{who} selects the pods of {owner} too, which serve nobody"


def ports_lead_to_the_server(shop: Shop) -> Iterator[str]:
    """From the load balancer to the Service, to nginx, to gunicorn."""
    service, ingress = shop.one("Service"), shop.one("Ingress")
    ports = {
        name: {port["name"]: port["containerPort"] for port in shop.of_web(name)["ports"]}
        for name in ("nginx", "serve")
    }
    if ports != {"nginx": {"http": 8080}, "serve": {"shop": 8000}}:
        yield f"the server's ports are {ports}"
    if "PORT" in shop.environment or "BIND" in shop.environment:
        yield "the environment moves the server off the port that the Deployment names"
    given = {one["name"]: one["value"] for one in shop.of_web("nginx").get("env", [])}
    if (given.get("LISTEN"), given.get("SHOP")) != ("8080", "127.0.0.1:8000"):
        yield "nginx does not lead from 8080 to the shop"
    offered = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
    if offered != {"http": "http"}:
        yield f"the Service leads to {offered}, which is not nginx"
    if shop.watched != f"{ingress['metadata'].get('namespace')}/{ingress['metadata']['name']}":
        yield f"the alarms look for the load balancer of {shop.watched}, which is not this Ingress"
    for rule in ingress["spec"]["rules"]:
        if rule.get("host") != shop.outputs["site_host"]:
            yield f"the load balancer answers for {rule.get('host')}, not for the shop's host"
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            if (backend["name"], backend["port"].get("name")) not in {
                (service["metadata"]["name"], port) for port in offered
            }:
                yield f"the load balancer leads to {backend}, which is no port of the Service"


def nginx_believes_the_load_balancer_alone(shop: Shop) -> Iterator[str]:
    given = {one["name"]: one["value"] for one in shop.of_web("nginx").get("env", [])}
    believed = ipaddress.ip_network(given.get("TRUSTED_PROXY", "0.0.0.0/32"))
    if not believed.is_private or not believed.supernet_of(ipaddress.ip_network(shop.network)):
        yield f"nginx believes {believed}, which is not the VPC {shop.network}"
    # The load balancer and nginx each append an address to X-Forwarded-For.
    if shop.environment.get("TRUSTED_PROXIES") != "2":
        yield "the shop does not count two proxies"


def the_configuration_is_named_after_its_content(shop: Shop) -> Iterator[str]:
    config = shop.config["metadata"]["name"]
    names = [one["metadata"]["name"] for one in shop.all("ConfigMap")]
    if sorted(re.sub("-[a-z0-9]{10}$", "-", name) for name in names) != ["lori-books-", "lori-books-nginx-"]:
        yield f"the ConfigMaps {names} are not named after their content: a new value would not roll out"
    volumes = {one["name"]: one for one in shop.web["spec"]["volumes"]}
    if volumes.get("nginx", {}).get("configMap", {}).get("name") not in set(names) - {config}:
        yield "nginx does not get its configuration"
    for who, container in shop.ours:
        if container.get("envFrom") != [{"configMapRef": {"name": config}}]:
            yield f"{who} does not get its environment from {config}"
        if container.get("env"):
            yield f"{who} has variables of its own, which no other container has"


def the_account_is_the_one_that_aws_trusts(shop: Shop) -> Iterator[str]:
    account = shop.one("ServiceAccount")
    annotations = account["metadata"].get("annotations", {})
    if annotations.get("eks.amazonaws.com/role-arn") != shop.outputs["app_role_arn"]:
        yield "the ServiceAccount does not name the shop's role"
    here = f"system:serviceaccount:{account['metadata']['namespace']}:{account['metadata']['name']}"
    if shop.trusted != here:
        yield f"the role trusts {shop.trusted}, but the pods are {here}"
    if account.get("automountServiceAccountToken") is not False:
        yield "the ServiceAccount mounts a token for the cluster"
    for owner, pod in shop.pods:
        if pod["spec"].get("serviceAccountName") != account["metadata"]["name"]:
            yield f"{owner} runs as another account"
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield f"{owner} mounts a token for the cluster"


def fargate_takes_the_pods(shop: Shop) -> Iterator[str]:
    name = shop.one("Namespace")["metadata"]["name"]
    for owner, pod in shop.pods:
        if not any(
            profile["namespace"] == name and covers(profile.get("labels", {}), pod["metadata"]["labels"])
            for profile in shop.fargate
        ):
            yield f"no Fargate profile takes the pods of {owner}: they would wait for ever"


# ---------------------------------------------------------------- the load balancer


def the_load_balancer_is_as_it_must_be(shop: Shop) -> Iterator[str]:
    wanted = {
        "scheme": "internet-facing",
        "target-type": "ip",
        "healthcheck-protocol": "HTTP",
        "healthcheck-port": "traffic-port",
        "healthcheck-path": "/readyz",
        "success-codes": "200",
        "ssl-redirect": "443",
        "certificate-arn": shop.outputs["certificate_arn"],
    }
    for name, value in wanted.items():
        if shop.annotations.get(ALB + name) != value:
            yield f"{name} is {shop.annotations.get(ALB + name)!r}, not {value!r}"
    if shop.one("Ingress")["spec"].get("ingressClassName") != "alb":
        yield "the Ingress is not of the class alb"
    listening = sorted(
        pair for one in json.loads(shop.annotations.get(ALB + "listen-ports", "[]")) for pair in one.items()
    )
    if listening != [("HTTP", 80), ("HTTPS", 443)]:
        yield f"it listens on {listening}"
    if not shop.annotations.get(ALB + "ssl-policy", "").startswith("ELBSecurityPolicy-TLS13-1-2-"):
        yield "its TLS policy is not one of TLS 1.3 and 1.2 only"
    of_it = attributes(shop.annotations.get(ALB + "load-balancer-attributes", ""))
    if of_it.get("routing.http.drop_invalid_header_fields.enabled") != "true":
        yield "it lets malformed headers through"
    of_targets = attributes(shop.annotations.get(ALB + "target-group-attributes", ""))
    if of_targets.get("deregistration_delay.timeout_seconds") != "30":
        yield "it does not wait 30 s for what a leaving pod has begun"


def no_subnet_is_named(shop: Shop) -> Iterator[str]:
    """With this annotation the load balancer could miss some of the subnets."""
    for name in shop.annotations:
        if "subnet" in name:
            yield f"the Ingress has {name}: the controller is to find the subnets by their tags"


def pods_wait_for_the_load_balancer(shop: Shop) -> Iterator[str]:
    labels = shop.one("Namespace")["metadata"].get("labels", {})
    if labels.get("elbv2.k8s.aws/pod-readiness-gate-inject") != "enabled":
        yield "a pod is ready before the load balancer has found it healthy"


# ---------------------------------------------------------------- start and stop


def probes_ask_the_right_question(shop: Shop) -> Iterator[str]:
    """Readiness depends on the database; liveness must not, since restarting pods does not bring it back."""
    serve, nginx = shop.of_web("serve"), shop.of_web("nginx")
    for container, probe, path, port in (
        (serve, "startup", "/healthz", "shop"),
        (serve, "readiness", "/readyz", "shop"),
        (serve, "liveness", "/healthz", "shop"),
        (nginx, "readiness", "/readyz", "http"),
    ):
        asked = container.get(f"{probe}Probe", {}).get("httpGet", {})
        if (asked.get("path"), asked.get("port")) != (path, port):
            yield f"the {probe} probe of {container['name']} does not ask {port} for {path}"
        if "httpHeaders" in asked or "host" in asked:
            yield f"the {probe} probe asks otherwise than the load balancer, which cannot choose its Host"
        if container.get(f"{probe}Probe", {}).get("timeoutSeconds", 1) < 2:
            yield f"the {probe} probe gives up within a second"
    if nginx.get("livenessProbe", {}).get("tcpSocket") != {"port": "http"}:
        yield "the liveness probe of nginx asks for more than nginx"
    for container in (serve, nginx):
        alive = container.get("livenessProbe", {})
        if alive.get("failureThreshold", 3) * alive.get("periodSeconds", 10) < 60:
            yield f"the liveness probe ends a {container['name']} that was busy for less than a minute"


def leaving_takes_its_time(shop: Shop) -> Iterator[str]:
    """The load balancer stops sending requests, nginx finishes the open ones, and then gunicorn ends."""
    spec = shop.web["spec"]

    def stop(name: str) -> int:
        hook = shop.of_web(name).get("lifecycle", {}).get("preStop", {})
        return int(hook.get("sleep", {}).get("seconds", 0))

    if stop("nginx") < 15:
        yield f"a leaving pod serves on for {stop('nginx')} s: the load balancer may still send requests then"
    drained = stop("nginx") + shop.application.shutdown_timeout
    if stop("serve") <= drained:
        yield f"gunicorn may end after {stop('serve')} s, but nginx needs it for up to {drained} s"
    needed = stop("serve") + shop.application.graceful_timeout
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if grace <= needed:
        yield f"a leaving pod is killed after {grace} s, but needs up to {needed} s and a little more"
    attribute = "idle_timeout.timeout_seconds"
    idle = int(attributes(shop.annotations.get(ALB + "load-balancer-attributes", "")).get(attribute, 60))
    if shop.application.nginx_keepalive <= idle:
        yield (
            f"nginx closes an idle connection after {shop.application.nginx_keepalive} s, the load balancer"
            f" after {idle} s: it may send a request into one that is closing"
        )
    # nginx's default for upstream connections.
    if shop.application.keepalive <= 60:
        yield f"gunicorn closes an idle connection after {shop.application.keepalive} s, nginx after 60 s"


def pods_spread_over_zones(shop: Shop) -> Iterator[str]:
    spread = shop.web["spec"].get("topologySpreadConstraints", [])
    if [one["topologyKey"] for one in spread] != ["topology.kubernetes.io/zone"]:
        yield "the pods are not spread over the zones"
    if any(one["whenUnsatisfiable"] != "ScheduleAnyway" for one in spread):
        yield "a zone without room keeps a pod waiting, though another has room"


# ---------------------------------------------------------------- safety


def the_namespace_takes_restricted_pods_only(shop: Shop) -> Iterator[str]:
    labels = shop.one("Namespace")["metadata"].get("labels", {})
    for mode in ("enforce", "audit", "warn"):
        if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
            yield f"the namespace does not {mode} the restricted pod security standard"


def pods_are_restricted(shop: Shop) -> Iterator[str]:
    for owner, pod in shop.pods:
        security = pod["spec"].get("securityContext", {})
        if security.get("runAsNonRoot") is not True:
            yield f"the pods of {owner} may run as root"
        if (security.get("runAsUser"), security.get("runAsGroup")) != (10001, 10001):
            yield f"the pods of {owner} do not run as the image's user, 10001"
        if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"the pods of {owner} have no seccomp profile"
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod["spec"].get(name):
                yield f"the pods of {owner} share the machine's: {name}"
        if pod["spec"].get("enableServiceLinks") is not False:
            yield f"the pods of {owner} find every service of the namespace in their environment"


def volumes_are_bounded(shop: Shop) -> Iterator[str]:
    for owner, pod in shop.pods:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        wanted = {"tmp": "emptyDir"}
        if pod is shop.web:
            wanted |= {"nginx-tmp": "emptyDir", "nginx": "configMap"}
        if {name: next(iter(one.keys() - {"name"})) for name, one in volumes.items()} != wanted:
            yield f"the pods of {owner} have other volumes than an empty /tmp and nginx's configuration"
            continue
        for name in ("tmp", "nginx-tmp"):
            if name in volumes and not volumes[name]["emptyDir"].get("sizeLimit"):
                yield f"the {name} of {owner} has no limit"
            elif name in volumes and name == "nginx-tmp":
                limit = mebi(volumes[name]["emptyDir"]["sizeLimit"])
                if limit <= shop.application.nginx_disk:
                    yield f"nginx may write {shop.application.nginx_disk} MiB: at {limit} its pod is ended"


def containers_are_restricted(shop: Shop) -> Iterator[str]:
    for name, container in shop.containers:
        security = container.get("securityContext", {})
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its root file system"
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield f"{name} may gain privileges"
        if security.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} keeps capabilities"
        if security.get("runAsUser") or security.get("runAsNonRoot") is False:
            yield f"{name} runs as another user than its pod"
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        if mounts != ["/tmp", *(["/etc/nginx/templates"] if container["name"] == "nginx" else [])]:  # noqa: S108
            yield f"{name} does not mount /tmp, and nothing else"


def the_network_is_closed(shop: Shop) -> Iterator[str]:
    """Everything is denied except DNS, the database and AWS from the shop, and the server's port to it."""
    policies = [policy["spec"] for policy in shop.all("NetworkPolicy")]
    if not any(
        policy["podSelector"] == {}
        and sorted(policy.get("policyTypes", [])) == ["Egress", "Ingress"]
        and not policy.get("ingress")
        and not policy.get("egress")
        for policy in policies
    ):
        yield "nothing denies what is not allowed"

    def open_to(pod: Object, direction: str) -> list[Any]:
        labels = pod["metadata"]["labels"]
        return sorted(
            port["port"]
            for policy in policies
            if covers(policy["podSelector"].get("matchLabels", {}), labels)
            for rule in policy.get(direction, [])
            for port in rule.get("ports", [{"port": "everything"}])
        )

    database = int(shop.outputs["database_port"])
    for owner, pod in shop.pods:
        if open_to(pod, "egress") != sorted([53, 53, 443, database]):
            yield f"{owner} may call {open_to(pod, 'egress')}"
        wanted = ["http"] if pod is shop.web else []
        if open_to(pod, "ingress") != wanted:
            yield f"{owner} may be called at {open_to(pod, 'ingress')}"


def the_environment_is_read(shop: Shop) -> Iterator[str]:
    """The shop reads every variable, and those that it needs to start are set."""
    given = shop.environment
    for name in sorted(given.keys() - shop.application.read - READ_BY_LIBRARIES):
        yield f"nothing reads the variable {name}"
    for name in sorted((shop.application.required - FETCHED | NEEDED_BY_PODS) - given.keys()):
        yield f"the variable {name} is not set"
    for name, value in given.items():
        if not value.strip():
            yield f"the variable {name} is empty"


def the_environment_gives_nothing_away(shop: Shop) -> Iterator[str]:
    given = shop.environment
    for name in ("SECRET_KEY", "METRICS_TOKEN", "DEBUG", "RATE_LIMITS"):
        if name in given:
            yield f"the variable {name} does not belong into a ConfigMap"
    if re.search("://[^/]*@", given.get("DATABASE_URL", "")):
        yield "there is a password in DATABASE_URL"
    if "sslmode=" not in given.get("DATABASE_URL", ""):
        yield "the way to the database need not be encrypted"


RULES: list[Callable[[Shop], Iterator[str]]] = [
    images_are_one_digest,
    only_the_init_container_migrates,
    commands_exist,
    jobs_are_bounded,
    requests_equal_limits,
    fargate_has_the_size,
    the_budget_lets_a_pod_go,
    selectors_find_the_server_alone,
    ports_lead_to_the_server,
    nginx_believes_the_load_balancer_alone,
    the_configuration_is_named_after_its_content,
    the_account_is_the_one_that_aws_trusts,
    fargate_takes_the_pods,
    the_load_balancer_is_as_it_must_be,
    no_subnet_is_named,
    pods_wait_for_the_load_balancer,
    probes_ask_the_right_question,
    leaving_takes_its_time,
    pods_spread_over_zones,
    the_namespace_takes_restricted_pods_only,
    pods_are_restricted,
    volumes_are_bounded,
    containers_are_restricted,
    the_network_is_closed,
    the_environment_is_read,
    the_environment_gives_nothing_away,
]

"""Breaks each rule of object_checks.py, and lists the expected messages."""

# ruff: noqa: INP001  # Run by unittest from this folder.
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import object_checks as checks
from object_checks import ALB, Object, Shop


def web(shop: Shop) -> Object:
    return shop.web["spec"]


def serve(shop: Shop) -> Object:
    return shop.of_web("serve")


def nginx(shop: Shop) -> Object:
    return shop.of_web("nginx")


def config(shop: Shop) -> Object:
    return shop.config


def volume(name: str) -> Callable[[Shop], Object]:
    return lambda shop: next(one for one in web(shop)["volumes"] if one["name"] == name)


def migrate(shop: Shop) -> Object:
    return shop.web["spec"]["initContainers"][0]


def job(shop: Shop) -> Object:
    return shop.all("CronJob")[0]["spec"]


def command(shop: Shop) -> Object:
    return job(shop)["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


def labels(shop: Shop) -> dict[str, str]:
    return shop.one("Namespace")["metadata"]["labels"]


def put(of: Callable[[Shop], Any], *path: Any) -> Callable[[Shop], None]:
    """Return a function that sets the value at `path`, starting from `of`; missing parts are created."""
    *way, last, value = path

    def change(shop: Shop) -> None:
        place = of(shop)
        for step in way:
            place = place[step] if isinstance(place, list) else place.setdefault(step, {})
        place[last] = value

    return change


def drop(of: Callable[[Shop], Any], *path: Any) -> Callable[[Shop], None]:
    *way, last = path

    def change(shop: Shop) -> None:
        place = of(shop)
        for step in way:
            place = place[step]
        del place[last]

    return change


def note(name: str, value: str) -> Callable[[Shop], None]:
    return put(lambda shop: shop.annotations, ALB + name, value)


def first(kind: str) -> Callable[[Shop], Object]:
    return lambda shop: shop.all(kind)[0]


# For each rule: words of its message, and the changes that break it.
BROKEN: dict[Callable[[Shop], Iterator[str]], list[tuple[str, Callable[[Shop], None]]]] = {
    checks.images_are_one_digest: [
        ("not given by digest", put(serve, "image", "shop:latest")),
        ("image of nginx", put(nginx, "image", "docker.io/nginxinc/nginx-unprivileged:1.28.3-alpine")),
        ("not given by digest", put(command, "image", "shop:1@sha256:" + "5" * 64)),
        ("do not run one image", put(migrate, "image", "shop@sha256:" + "6" * 64)),
        ("environment's repository", put(serve, "image", "x@sha256:" + "5" * 64)),
    ],
    checks.only_the_init_container_migrates: [
        ("one init container is not", drop(web, "initContainers")),
        ("one init container is not", put(migrate, "args", ["check"])),
        ("does not run `serve`", put(serve, "args", ["migrate"])),
        ("are not `serve` and `nginx`", put(nginx, "name", "proxy")),
        ("migrates", put(serve, "args", ["sh", "-c", "x migrate && y"])),
        ("migrates", put(command, "args", ["migrate"])),
        ("makemigrations", put(command, "args", ["makemigrations"])),
        ("past the image's", put(serve, "command", ["gunicorn"])),
    ],
    checks.commands_exist: [
        ("no command of manage.py", put(command, "args", ["expire_hold"])),
        ("which the clock must not", put(command, "args", ["flush"])),
        ("nothing runs", lambda shop: shop.objects.remove(shop.all("CronJob")[0])),
        ("is to be run", put(job, "schedule", "7 3 1 * *")),
        ("is to be run", put(job, "schedule", "* * * * *")),
    ],
    checks.jobs_are_bounded: [
        ("twice at once", put(job, "concurrencyPolicy", "Allow")),
        ("deadline to start", drop(job, "startingDeadlineSeconds")),
        ("failedJobsHistoryLimit", drop(job, "failedJobsHistoryLimit")),
        ("next hour", drop(job, "jobTemplate", "spec", "activeDeadlineSeconds")),
        ("too often", drop(job, "jobTemplate", "spec", "backoffLimit")),
        ("finished pods", drop(job, "jobTemplate", "spec", "ttlSecondsAfterFinished")),
        (
            "restarts its container",
            put(job, "jobTemplate", "spec", "template", "spec", "restartPolicy", "OnFailure"),
        ),
    ],
    checks.requests_equal_limits: [
        ("limits differ", put(serve, "resources", "limits", "memory", "4096Mi")),
        ("limits differ", drop(serve, "resources", "limits")),
        ("does not request", put(command, "resources", {})),
        (
            "is not given the memory",
            put(
                migrate,
                "resources",
                {of: {"cpu": "250m", "memory": "256Mi"} for of in ("requests", "limits")},
            ),
        ),
    ],
    checks.fargate_has_the_size: [
        ("has no", put(serve, "resources", "requests", "memory", "2048Mi")),
        ("has no", put(migrate, "resources", "requests", "cpu", "1500m")),
        ("has no", put(command, "resources", "requests", "memory", "512Mi")),
    ],
    checks.the_budget_lets_a_pod_go: [
        ("at least 2", put(first("HorizontalPodAutoscaler"), "spec", "minReplicas", 1)),
        ("nothing to scale", put(first("HorizontalPodAutoscaler"), "spec", "maxReplicas", 1)),
        (
            "none may go",
            lambda shop: shop.one("PodDisruptionBudget").update(
                spec={"minAvailable": shop.one("HorizontalPodAutoscaler")["spec"]["minReplicas"]}
            ),
        ),
        ("lets 0 of", put(first("PodDisruptionBudget"), "spec", "maxUnavailable", 0)),
        ("lets 9 of", put(first("PodDisruptionBudget"), "spec", "maxUnavailable", 9)),
        ("percentage", put(first("PodDisruptionBudget"), "spec", "maxUnavailable", "50%")),
        ("how many replicas", put(first("Deployment"), "spec", "replicas", 2)),
        (
            "scales something else",
            put(first("HorizontalPodAutoscaler"), "spec", "scaleTargetRef", "name", "shop"),
        ),
        (
            "before their successors",
            put(first("Deployment"), "spec", "strategy", "rollingUpdate", "maxUnavailable", 1),
        ),
    ],
    checks.selectors_find_the_server_alone: [
        ("not in the namespace", put(first("Service"), "metadata", "namespace", "default")),
        ("the Service does not select", put(first("Service"), "spec", "selector", {"app": "shop"})),
        (
            "the Service selects the pods of the CronJob",
            drop(first("Service"), "spec", "selector", checks.COMPONENT),
        ),
        (
            "the budget does not select",
            put(first("PodDisruptionBudget"), "spec", "selector", "matchLabels", checks.NAME, "shop"),
        ),
        ("not labelled", put(lambda shop: shop.web, "metadata", "labels", checks.NAME, "shop")),
    ],
    checks.ports_lead_to_the_server: [
        ("nginx does not lead", drop(nginx, "env")),
        ("the server's ports", put(serve, "ports", [{"name": "http", "containerPort": 80}])),
        ("moves the server", put(config, "data", "PORT", "9000")),
        ("which is not nginx", put(first("Service"), "spec", "ports", 0, "targetPort", "web")),
        ("not for the shop's host", put(first("Ingress"), "spec", "rules", 0, "host", "x.example")),
        (
            "no port of the Service",
            put(
                first("Ingress"),
                "spec",
                "rules",
                0,
                "http",
                "paths",
                0,
                "backend",
                "service",
                "port",
                {"number": 8000},
            ),
        ),
        ("the alarms look for", put(first("Ingress"), "metadata", "name", "shop")),
    ],
    checks.nginx_believes_the_load_balancer_alone: [
        ("which is not the VPC", put(nginx, "env", [{"name": "TRUSTED_PROXY", "value": "192.168.0.0/16"}])),
        ("which is not the VPC", put(nginx, "env", [{"name": "TRUSTED_PROXY", "value": "0.0.0.0/0"}])),
        ("does not count two", put(config, "data", "TRUSTED_PROXIES", "1")),
    ],
    checks.the_configuration_is_named_after_its_content: [
        ("does not get its configuration", put(volume("nginx"), "configMap", "name", "nginx")),
        ("named after their content", put(config, "metadata", "name", "lori-books")),
        ("does not get its environment", drop(command, "envFrom")),
        ("of its own", put(serve, "env", [{"name": "DEBUG", "value": "on"}])),
    ],
    checks.the_account_is_the_one_that_aws_trusts: [
        ("the role trusts", put(first("ServiceAccount"), "metadata", "name", "shop")),
        ("the shop's role", drop(first("ServiceAccount"), "metadata", "annotations")),
        ("as another account", drop(web, "serviceAccountName")),
        ("the Deployment mounts a token", put(web, "automountServiceAccountToken", True)),
        ("the ServiceAccount mounts a token", drop(first("ServiceAccount"), "automountServiceAccountToken")),
    ],
    checks.fargate_takes_the_pods: [
        ("no Fargate profile", put(first("Namespace"), "metadata", "name", "shop")),
        (
            "no Fargate profile takes the pods of the CronJob",
            lambda shop: shop.fargate[0].update(labels={checks.COMPONENT: "web"}),
        ),
    ],
    checks.the_load_balancer_is_as_it_must_be: [
        ("healthcheck-path", note("healthcheck-path", "/")),
        ("target-type", note("target-type", "instance")),
        ("scheme", note("scheme", "internal")),
        ("success-codes", note("success-codes", "200-499")),
        ("ssl-redirect", note("ssl-redirect", "8443")),
        ("certificate-arn", note("certificate-arn", "")),
        ("listens on", note("listen-ports", '[{"HTTP": 80}]')),
        ("TLS", note("ssl-policy", "ELBSecurityPolicy-2016-08")),
        ("malformed headers", note("load-balancer-attributes", "")),
        ("leaving pod", note("target-group-attributes", "")),
        ("class alb", drop(first("Ingress"), "spec", "ingressClassName")),
    ],
    checks.no_subnet_is_named: [
        ("by their tags", note("subnets", '["subnet-1"]')),
    ],
    checks.pods_wait_for_the_load_balancer: [
        ("ready before", drop(labels, "elbv2.k8s.aws/pod-readiness-gate-inject")),
    ],
    checks.probes_ask_the_right_question: [
        ("readiness", put(serve, "readinessProbe", "httpGet", "path", "/")),
        ("liveness", put(serve, "livenessProbe", "httpGet", "path", "/readyz")),
        ("startup", drop(serve, "startupProbe")),
        (
            "cannot choose its Host",
            put(
                serve, "readinessProbe", "httpGet", "httpHeaders", [{"name": "Host", "value": "shop.example"}]
            ),
        ),
        ("within a second", drop(serve, "readinessProbe", "timeoutSeconds")),
        ("busy", put(serve, "livenessProbe", "failureThreshold", 3)),
        ("more than nginx", put(nginx, "livenessProbe", {"httpGet": {"path": "/healthz", "port": "http"}})),
        ("readiness probe of nginx", drop(nginx, "readinessProbe")),
    ],
    checks.leaving_takes_its_time: [
        ("may still send", drop(nginx, "lifecycle")),
        ("nginx needs it for", put(serve, "lifecycle", "preStop", "sleep", "seconds", 20)),
        ("is killed after 30 s", drop(web, "terminationGracePeriodSeconds")),
        ("is killed after 55 s", put(web, "terminationGracePeriodSeconds", 55)),
        ("is killed after 70 s", lambda shop: setattr(shop.application, "graceful_timeout", 50)),
        ("gunicorn closes an idle", lambda shop: setattr(shop.application, "keepalive", 5)),
        ("nginx closes an idle", lambda shop: setattr(shop.application, "nginx_keepalive", 5)),
        ("nginx closes an idle", note("load-balancer-attributes", "idle_timeout.timeout_seconds=120")),
    ],
    checks.pods_spread_over_zones: [
        ("not spread", drop(web, "topologySpreadConstraints")),
        (
            "keeps a pod waiting",
            put(web, "topologySpreadConstraints", 0, "whenUnsatisfiable", "DoNotSchedule"),
        ),
    ],
    checks.the_namespace_takes_restricted_pods_only: [
        ("does not enforce", drop(labels, "pod-security.kubernetes.io/enforce")),
    ],
    checks.pods_are_restricted: [
        ("may run as root", drop(web, "securityContext", "runAsNonRoot")),
        ("10001", put(web, "securityContext", "runAsUser", 0)),
        ("seccomp", drop(web, "securityContext", "seccompProfile")),
        ("hostNetwork", put(web, "hostNetwork", True)),
        ("every service", drop(web, "enableServiceLinks")),
    ],
    checks.volumes_are_bounded: [
        ("other volumes", put(web, "volumes", 0, {"name": "tmp", "hostPath": {"path": "/"}})),
        ("tmp of the Deployment has no limit", put(volume("tmp"), "emptyDir", {})),
        ("nginx-tmp of the Deployment has no limit", put(volume("nginx-tmp"), "emptyDir", {})),
        ("nginx may write", put(volume("nginx-tmp"), "emptyDir", "sizeLimit", "1Gi")),
    ],
    checks.containers_are_restricted: [
        ("may write", drop(serve, "securityContext", "readOnlyRootFilesystem")),
        ("gain privileges", drop(migrate, "securityContext", "allowPrivilegeEscalation")),
        ("keeps capabilities", drop(command, "securityContext", "capabilities")),
        ("another user", put(command, "securityContext", "runAsUser", 1)),
        ("does not mount", drop(serve, "volumeMounts")),
        ("nginx of the Deployment may write", drop(nginx, "securityContext", "readOnlyRootFilesystem")),
    ],
    checks.the_network_is_closed: [
        (
            "nothing denies",
            lambda shop: shop.objects.remove(
                next(one for one in shop.all("NetworkPolicy") if one["metadata"]["name"] == "default-deny")
            ),
        ),
        (
            "may call",
            put(
                lambda shop: next(one for one in shop.all("NetworkPolicy") if one["spec"].get("egress")),
                "spec",
                "egress",
                [{}],
            ),
        ),
        (
            "the CronJob expire-holds may be called",
            drop(
                lambda shop: next(one for one in shop.all("NetworkPolicy") if one["spec"].get("ingress")),
                "spec",
                "podSelector",
                "matchLabels",
                checks.COMPONENT,
            ),
        ),
    ],
    checks.the_environment_is_read: [
        ("nothing reads", put(config, "data", "SITE_ADDRESS", "x")),
        ("SITE_URL is not set", drop(config, "data", "SITE_URL")),
        ("MEDIA_BUCKET is not set", drop(config, "data", "MEDIA_BUCKET")),
        ("EMAIL_URL is empty", put(config, "data", "EMAIL_URL", " ")),
    ],
    checks.the_environment_gives_nothing_away: [
        ("does not belong", put(config, "data", "SECRET_KEY", "x")),
        (
            "a password",
            put(config, "data", "DATABASE_URL", "postgres://lori:secret@host/lori?sslmode=require"),
        ),
        ("need not be encrypted", put(config, "data", "DATABASE_URL", "postgres://host/lori")),
    ],
}

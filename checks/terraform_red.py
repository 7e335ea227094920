"""Proves that the modules' tests can fail: breaks one property at a time, and expects the test that names it.

    .venv/deploy/bin/python checks/terraform_red.py [MODULE...]

Takes some minutes, so run it by hand when a module or its test changes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Module, file, original text, replacement, and a part of the failing test's output.
THUMBPRINT = 'client_id_list = ["sts.amazonaws.com"]\n  thumbprint_list = ["' + "0" * 40 + '"]'
BOTH_TAGS = '"kubernetes.io/role/elb" = "1"\n    "kubernetes.io/role/internal-elb" = "1"'
BREAKS = [
    (
        "network",
        "main.tf",
        '"kubernetes.io/role/internal-elb" = "1"',
        '"kubernetes.io/role/elb" = "1"',
        "A private subnet",
    ),
    (
        "network",
        "main.tf",
        '"kubernetes.io/role/internal-elb" = "1"',
        BOTH_TAGS,
        "A private subnet carries the public subnets' tag",
    ),
    (
        "network",
        "main.tf",
        '"kubernetes.io/role/elb" = "1"',
        '"kubernetes.io/role/elb" = "0"',
        "A public subnet lacks the tag",
    ),
    ("network", "main.tf", '= "shared"', '= "none"', "A subnet lacks the cluster's tag"),
    (
        "network",
        "main.tf",
        "availability_zone       = each.key\n  cidr_block              = cidrsubnet(var.cidr, 6",
        "availability_zone       = var.zones[0]\n  cidr_block              = cidrsubnet(var.cidr, 6",
        "The public subnets don't lie in all three zones",
    ),
    (
        "network",
        "main.tf",
        "availability_zone       = each.key\n  cidr_block              = cidrsubnet(var.cidr, 3",
        "availability_zone       = var.zones[0]\n  cidr_block              = cidrsubnet(var.cidr, 3",
        "The private subnets don't lie in the public ones' zones",
    ),
    (
        "network",
        "main.tf",
        "var.nat_per_zone ? each.key : var.zones[0]",
        "var.zones[0]",
        "its own zone's NAT gateway",
    ),
    (
        "network",
        "main.tf",
        "cidr_ipv4         = var.cidr",
        'cidr_ipv4         = "0.0.0.0/0"',
        "more than HTTPS from the VPC",
    ),
    ("network", "main.tf", 'traffic_type    = "ALL"', 'traffic_type    = "REJECT"', "not all recorded"),
    (
        "network",
        "variables.tf",
        "length(var.zones) == 3 &&",
        "length(var.zones) >= 2 &&",
        "refuses_two_zones",
    ),
    (
        "cluster",
        "fargate.tf",
        "subnet_ids             = var.private_subnet_ids",
        'subnet_ids             = concat(var.private_subnet_ids, ["subnet-public"])',
        "other subnets than the private ones",
    ),
    ("cluster", "fargate.tf", 'computeType = "Fargate"', 'computeType = "ec2"', "CoreDNS would wait"),
    ("cluster", "fargate.tf", 'system = "kube-system", shop', "shop", "A namespace lacks its profile"),
    (
        "cluster",
        "main.tf",
        'client_id_list = ["sts.amazonaws.com"]',
        THUMBPRINT,
        "A thumbprint is configured",
    ),
    (
        "cluster",
        "main.tf",
        "bootstrap_cluster_creator_admin_permissions = false",
        "bootstrap_cluster_creator_admin_permissions = true",
        "whom no access entry names",
    ),
    (
        "cluster",
        "irsa.tf",
        "system:serviceaccount:${var.namespace}:${var.service_account}",
        "system:serviceaccount:${var.namespace}:*",
        "Another service account than the shop's",
    ),
    ("cluster", "irsa.tf", "Resource = var.app_secret_arns", 'Resource = "*"', "more than its two secrets"),
    (
        "cluster",
        "irsa.tf",
        '"ses:FromAddress" = var.mail_from',
        '"ses:FromAddress" = "*"',
        "mail from any address",
    ),
    (
        "cluster",
        "irsa.tf",
        '      Resource  = "*"\n      Condition = local.resource_marked\n',
        '      Resource  = "*"\n',
        "what is not its own",
    ),
    (
        "database",
        "main.tf",
        "multi_az               = var.multi_az",
        "multi_az               = false",
        "No second machine",
    ),
    ("database", "main.tf", "storage_encrypted     = true", "storage_encrypted     = false", "not encrypted"),
    (
        "database",
        "main.tf",
        "publicly_accessible    = false",
        "publicly_accessible    = true",
        "reached from outside",
    ),
    (
        "database",
        "main.tf",
        "manage_master_user_password = true",
        'password = "a-password-in-the-state"',
        "not made and rotated by RDS",
    ),
    (
        "database",
        "main.tf",
        'name  = "rds.force_ssl"\n    value = "1"',
        'name  = "rds.force_ssl"\n    value = "0"',
        "without TLS",
    ),
    (
        "database",
        "main.tf",
        "  alarm_actions = [var.alarm_topic_arn]\n",
        "  alarm_actions = []\n",
        "tells nobody",
    ),
    (
        "database",
        "main.tf",
        'metric      = "FreeStorageSpace"\n      comparison  = "LessThanThreshold"',
        'metric      = "FreeStorageSpace"\n      comparison  = "GreaterThanThreshold"',
        "looks the wrong way",
    ),
    (
        "database",
        "main.tf",
        "backup_retention_period  = var.backup_days",
        "backup_retention_period  = 7",
        "Backups don't reach back 30 days",
    ),
    ("registry", "main.tf", '"IMMUTABLE"', '"MUTABLE"', "moved to another image"),
    ("registry", "main.tf", "scan_on_push = true", "scan_on_push = false", "not scanned"),
    (
        "registry",
        "main.tf",
        '"imageCountMoreThan"\n        countNumber = var.kept_images',
        '"sinceImagePushed"\n        countUnit = "days"\n        countNumber = var.kept_images',
        "something else than their number",
    ),
    (
        "storage",
        "main.tf",
        "restrict_public_buckets = true",
        "restrict_public_buckets = false",
        "made public",
    ),
    (
        "storage",
        "main.tf",
        '"aws:SecureTransport" = "false"',
        '"aws:SecureTransport" = "true"',
        "without TLS",
    ),
    (
        "secrets",
        "main.tf",
        "secret_string_wo_version = var.app_secret_version",
        "secret_string_wo_version = 1",
        "does not write a new value",
    ),
    (
        "github_oidc",
        "main.tf",
        'client_id_list = ["sts.amazonaws.com"]',
        THUMBPRINT,
        "A thumbprint is configured",
    ),
    ("github_oidc", "main.tf", ":pull_request", ":*", "others than this repository's pull requests"),
    (
        "github_oidc",
        "main.tf",
        ":environment:${var.github_environment}",
        ":environment:*",
        "others than this repository's jobs",
    ),
    (
        "github_oidc",
        "main.tf",
        'policy/ReadOnlyAccess"',
        'policy/AdministratorAccess"',
        "may do more than read",
    ),
    (
        "github_oidc",
        "main.tf",
        '        "secretsmanager:GetSecretValue",\n',
        "",
        "could read the shop's secrets",
    ),
    (
        "github_oidc",
        "main.tf",
        '      Condition = { StringEquals = { "iam:PermissionsBoundary" = local.boundary_arn } }\n',
        "",
        "more than the boundary allows",
    ),
    ("github_oidc", "main.tf", "        aws_iam_role.deploy.arn,\n", "", "could widen itself"),
    (
        "github_oidc",
        "main.tf",
        '        "iam:CreateServiceLinkedRole",\n        "iam:Get*"',
        '        "iam:*",\n        "iam:Get*"',
        "change who may do what",
    ),
    (
        "observability",
        "load_balancer.tf",
        "length(local.load_balancers) == 1",
        "length(local.load_balancers) <= 1",
        "before_there_is_a_load_balancer",
    ),
    (
        "observability",
        "load_balancer.tf",
        '  treat_missing_data  = "breaching"',
        '  treat_missing_data  = "notBreaching"',
        "A lost load balancer raises no alarm",
    ),
    (
        "observability",
        "load_balancer.tf",
        "values = [var.name]",
        'values = ["lori-books-staging"]',
        "Another cluster's load balancer",
    ),
    (
        "observability",
        "load_balancer.tf",
        "  alarm_actions = [aws_sns_topic.alarms.arn]\n",
        "  alarm_actions = []\n",
        "An alarm tells nobody",
    ),
    (
        "observability",
        "main.tf",
        'publishers = ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]',
        'publishers = ["cloudwatch.amazonaws.com"]',
        "database events cannot reach the topic",
    ),
    (
        "shop",
        "main.tf",
        'coalesce(var.mail_from, "books@${var.site_host}")',
        '"books@${var.site_host}"',
        "The address that was named is not used",
    ),
    (
        "shop",
        "main.tf",
        "  private_subnet_ids       = values(module.network.private_subnet_ids)\n  api_cidrs",
        "  private_subnet_ids       = values(module.network.public_subnet_ids)\n  api_cidrs",
        "Pods would run in",
    ),
]


Break = tuple[str, str, str, str]


class Module:
    def __init__(self, tree: Path, name: str) -> None:
        self.folder, self.name = tree / "modules" / name, name
        self.breaks: list[Break] = [each for module, *each in BREAKS if module == name]
        plugins = subprocess.run([HERE / "terraform-plugins"], capture_output=True, text=True, check=True)
        shutil.copy(tree / "environments" / "prod" / ".terraform.lock.hcl", self.folder)
        folder = plugins.stdout.strip()
        self.terraform("init", "-backend=false", *([f"-plugin-dir={folder}"] if folder else []))

    def terraform(self, *words: str) -> subprocess.CompletedProcess:
        hidden = ("TF_VAR_", "AWS_", "TF_CLI_CONFIG_FILE")
        env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        command = ["terraform", *words, "-no-color"]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def unnoticed(self, breaks: list[Break]) -> list[Break]:
        """Return the breaks that no test names, and those that conflict with others in the same run."""
        whole = {file: (self.folder / file).read_text() for file, *_ in breaks}
        texts, made = dict(whole), []
        for file, old, new, sentence in breaks:
            if old not in whole[file]:
                sys.exit(f"{self.name}/{file} does not hold what is to be broken: {old}")
            if old in texts[file]:
                texts[file] = texts[file].replace(old, new)
                made.append(sentence)
        self.write(texts)
        run = self.terraform("test")
        self.write(whole)
        said = " ".join((run.stdout + run.stderr).split())
        named = {sentence for sentence in made if run.returncode != 0 and sentence in said}
        return [each for each in breaks if each[3] not in named]

    def write(self, texts: dict[str, str]) -> None:
        for file, text in texts.items():
            (self.folder / file).write_text(text)


def main() -> None:
    chosen = sys.argv[1:] or list(dict.fromkeys(module for module, *_ in BREAKS))
    green = []
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "terraform"
        shutil.copytree(HERE.parent / "terraform", tree, ignore=shutil.ignore_patterns(".terraform"))
        for name in chosen:
            module = Module(tree, name)
            # First all breaks in one run; those that no test named are tried again one by one.
            left = [each for each in module.unnoticed(module.breaks) if module.unnoticed([each])]
            for each in module.breaks:
                print(
                    f"{'NOT RED' if each in left else 'red, as it should be'}: {name}: {each[3]}", flush=True
                )
            green += [f"{name}: {each[3]}" for each in left]
    if green:
        sys.exit(f"{len(green)} breaks were not noticed: {green}")
    print("Every break was noticed.")


if __name__ == "__main__":
    main()

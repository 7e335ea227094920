"""Creates production in a stand-in for AWS (moto/server.py), checks it, and destroys it.

    checks/terraform-lab

The steps are: the state's bucket; production, while a second run must be refused by the lock; a second plan,
which must be empty; the subnets as the load balancer controller sees them; the properties of production; a
load balancer as the controller would create it, for which the next apply adds the alarms; and a destroy that
leaves nothing.

Success means that the parts fit together, not that AWS accepts them: terraform/README.md lists what to watch
at the first apply.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

HERE = Path(__file__).parent
REGION = "eu-central-1"
NAME = "lori-books-prod"
STATE, LOCK = "prod.tfstate", "prod.tfstate.tflock"
ACCOUNT = "123456789012"
BUCKET = f"lori-books-terraform-{ACCOUNT}"
# The outputs that kubernetes/render reads.
OUTPUTS = {
    "account_id",
    "app_role_arn",
    "app_secret_arn",
    "certificate_arn",
    "cluster_name",
    "database_host",
    "database_name",
    "database_port",
    "database_secret_arn",
    "ecr_repository_url",
    "environment",
    "load_balancer_controller_role_arn",
    "log_group_name",
    "mail_from",
    "media_bucket",
    "region",
    "site_host",
    "vpc_id",
}


class Wrong(Exception):
    """A check failed."""


def need(promise: bool, sentence: str) -> None:
    if not promise:
        raise Wrong(sentence)


# ---------------------------------------------------------------------------------------------------------
# Terraform and the stand-in


def surroundings(port: int) -> dict[str, str]:
    """Return the whole environment of Terraform, without the shell's deployment settings."""
    passed_on = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return passed_on | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "stand-in",
        "AWS_SECRET_ACCESS_KEY": "stand-in",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Otherwise errors are retried for minutes.
        "AWS_MAX_ATTEMPTS": "3",
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "TF_VAR_site_host": "books.example.org",
        "TF_VAR_certificate_arn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0f0f0f0f-0000",
        "TF_VAR_github_repository": "example/lori-books",
        "TF_VAR_create_oidc_provider": "true",
        "TF_VAR_alarm_email": "alarms@example.org",
        # Otherwise production refuses to be destroyed.
        "TF_VAR_deletion_protection": "false",
        "TF_VAR_final_snapshot": "false",
        "TF_VAR_secret_recovery_days": "0",
    }


class Terraform:
    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        self.runs: list[subprocess.Popen] = []

    def start(self, *words: str) -> subprocess.Popen:
        run = subprocess.Popen(
            ["terraform", words[0], "-no-color", *words[1:]],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.runs.append(run)
        return run

    def stop(self) -> None:
        """Kill processes that a failed step left running."""
        for run in self.runs:
            if run.poll() is None:
                run.kill()
                run.wait()

    def finish(self, run: subprocess.Popen, *, expect: int = 0) -> str:
        output, _ = run.communicate()
        need(run.returncode == expect, f"terraform {run.args[1]} ended with {run.returncode}:\n{output}")
        return output

    def __call__(self, *words: str, expect: int = 0) -> str:
        return self.finish(self.start(*words), expect=expect)

    def init(self, *words: str) -> None:
        plugins = os.environ.get("PLUGINS")
        self("init", "-lockfile=readonly", *([f"-plugin-dir={plugins}"] if plugins else []), *words)


@contextmanager
def stand_in() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            [sys.executable, HERE / "moto" / "server.py", "127.0.0.1", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(lambda: server.poll() is not None or answers(port), "the stand-in for AWS", seconds=60)
            if server.poll() is not None:
                log.seek(0)
                raise Wrong(f"The stand-in for AWS did not start:\n{log.read()}")
            yield port
        finally:
            server.terminate()
            server.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(there: Callable[[], bool], what: str, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not there():
        need(time.monotonic() < until, f"Waited {seconds:g} s for {what}.")
        time.sleep(0.2)


def exists(bucket: str, key: str) -> bool:
    try:
        boto3.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError:
        return False
    return True


# ---------------------------------------------------------------------------------------------------------
# Checks


def bucket_is_guarded() -> bool:
    """Return whether the bucket is ready for the state: everything but its clean-up rule is set."""
    s3 = boto3.client("s3")
    try:
        return (
            s3.get_bucket_versioning(Bucket=BUCKET).get("Status") == "Enabled"
            and all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
            and bool(s3.get_bucket_encryption(Bucket=BUCKET))
            and "aws:SecureTransport" in s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
        )
    except ClientError:
        return False


def second_run_is_refused(prod: Terraform, first: subprocess.Popen) -> None:
    wait_for(lambda: exists(BUCKET, LOCK) or first.poll() is not None, "the lock", seconds=120)
    output = prod("plan", "-refresh=false", "-lock-timeout=0s", expect=1)
    need("Error acquiring the state lock" in output, f"A second run failed for another reason:\n{output}")
    need(first.poll() is None, "The first run had ended before the second one was refused.")


def outputs_are_strings(prod: Terraform) -> dict[str, str]:
    outputs = {name: output["value"] for name, output in json.loads(prod("output", "-json")).items()}
    need(outputs.keys() >= OUTPUTS, f"Outputs are missing: {sorted(OUTPUTS - outputs.keys())}")
    no_strings = sorted(name for name, value in outputs.items() if not isinstance(value, str) or not value)
    need(not no_strings, f"Outputs are no strings, or empty: {no_strings}")
    return outputs


def promises_are_kept(outputs: dict[str, str]) -> None:
    """Check in the created resources what the modules' tests check in a plan, and how they fit together."""
    ec2, rds, eks = boto3.client("ec2"), boto3.client("rds"), boto3.client("eks")
    cluster = eks.describe_cluster(name=NAME)["cluster"]
    in_vpc = [{"Name": "vpc-id", "Values": [outputs["vpc_id"]]}]
    subnets = ec2.describe_subnets(Filters=in_vpc)["Subnets"]
    private = {subnet["SubnetId"] for subnet in subnets if has_tag(subnet, "kubernetes.io/role/internal-elb")}
    need(len(private) == 3 and len(subnets) == 6, "There are not three public and three private subnets.")

    for profile in eks.list_fargate_profiles(clusterName=NAME)["fargateProfileNames"]:
        described = eks.describe_fargate_profile(clusterName=NAME, fargateProfileName=profile)[
            "fargateProfile"
        ]
        need(
            set(described["subnets"]) == private, f"The Fargate profile {profile} leaves the private subnets."
        )

    database = rds.describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"][0]
    need(database["MultiAZ"], "The database has no second machine.")
    need(database["StorageEncrypted"], "The database's disk is not encrypted.")
    need(not database["PubliclyAccessible"], "The database is public.")
    need(database["BackupRetentionPeriod"] == 30, "Backups don't reach back 30 days.")
    group = rds.describe_db_subnet_groups(DBSubnetGroupName=NAME)["DBSubnetGroups"][0]
    need(
        {subnet["SubnetIdentifier"] for subnet in group["Subnets"]} == private,
        "The database left the private subnets.",
    )
    (guard,) = database["VpcSecurityGroups"]
    rules = ec2.describe_security_groups(GroupIds=[guard["VpcSecurityGroupId"]])["SecurityGroups"][0][
        "IpPermissions"
    ]
    pods = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
    need(
        [
            (rule["FromPort"], rule["ToPort"], [pair["GroupId"] for pair in rule["UserIdGroupPairs"]])
            for rule in rules
        ]
        == [(5432, 5432, [pods])]
        and not any(rule["IpRanges"] for rule in rules),
        f"Others than the pods reach the database: {rules}",
    )

    gateways = ec2.describe_nat_gateways(Filters=in_vpc)["NatGateways"]
    need(len(gateways) == 3, f"There are {len(gateways)} NAT gateways, not one for each zone.")

    role = boto3.client("iam").get_role_policy(RoleName=f"{NAME}-app", PolicyName="shop")["PolicyDocument"]
    secrets = next(s["Resource"] for s in role["Statement"] if s["Sid"] == "ReadItsSecrets")
    need(
        set(secrets) == {outputs["database_secret_arn"], outputs["app_secret_arn"]},
        "The shop's role reads other secrets than the two that the outputs name.",
    )
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=outputs["app_secret_arn"])[
        "SecretString"
    ]
    need(
        {key: len(value) for key, value in json.loads(secret).items()}
        == {"SECRET_KEY": 64, "METRICS_TOKEN": 48},
        "The shop's secret is not what it reads.",
    )
    state = boto3.client("s3").get_object(Bucket=BUCKET, Key=STATE)["Body"].read().decode()
    need(
        all(value not in state for value in json.loads(secret).values()), "The state holds the shop's secret."
    )

    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{NAME}-alarms"
    alarms = alarms_of("AWS/RDS")
    need(
        len(alarms) == 4 and all(a["AlarmActions"] == [topic] for a in alarms),
        "The database's alarms tell nobody.",
    )


def has_tag(thing: dict, key: str) -> bool:
    return any(tag["Key"] == key for tag in thing.get("Tags", []))


def alarms_of(namespace: str) -> list[dict]:
    found = boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return [alarm for alarm in found if alarm.get("Namespace") == namespace]


def make_load_balancer(vpc: str) -> list[str]:
    """Create a load balancer as the controller would, including its tags."""
    elb, ec2 = boto3.client("elbv2"), boto3.client("ec2")
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    tags = [
        {"Key": "elbv2.k8s.aws/cluster", "Value": NAME},
        {"Key": "ingress.k8s.aws/stack", "Value": "lori-books/lori-books"},
    ]
    balancer = elb.create_load_balancer(
        Name="k8s-loribook-shop",
        Subnets=[subnet["SubnetId"] for subnet in subnets if has_tag(subnet, "kubernetes.io/role/elb")],
        Tags=[*tags, {"Key": "ingress.k8s.aws/resource", "Value": "LoadBalancer"}],
    )
    group = elb.create_target_group(
        Name="k8s-loribook-pods", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", Tags=tags
    )
    return [balancer["LoadBalancers"][0]["LoadBalancerArn"], group["TargetGroups"][0]["TargetGroupArn"]]


def load_balancer_has_alarms(output: str, arns: list[str]) -> None:
    need(
        "4 added, 1 changed, 0 destroyed" in output,
        f"More or less than four alarms and the dashboard:\n{output}",
    )
    need(
        "Check block assertion failed" not in output, "The load balancer is there, and the plan still warns."
    )
    balancer = arns[0].partition(":loadbalancer/")[2]
    group = "targetgroup/" + arns[1].partition(":targetgroup/")[2]
    watched = {
        alarm["MetricName"]: {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        for alarm in alarms_of("AWS/ApplicationELB")
    }
    need(
        watched
        == {
            "TargetResponseTime": {"LoadBalancer": balancer},
            "UnHealthyHostCount": {"LoadBalancer": balancer, "TargetGroup": group},
            "HealthyHostCount": {"LoadBalancer": balancer, "TargetGroup": group},
        },
        f"The load balancer is watched otherwise than meant: {watched}",
    )


def remove_load_balancer(arns: list[str]) -> None:
    """Delete the load balancer as the controller does when the ingress is deleted.

    This must happen before Terraform's destroy.
    """
    elb = boto3.client("elbv2")
    elb.delete_load_balancer(LoadBalancerArn=arns[0])
    elb.delete_target_group(TargetGroupArn=arns[1])


def nothing_is_left() -> None:
    ec2, iam = boto3.client("ec2"), boto3.client("iam")
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    keys = [
        boto3.client("kms").describe_key(KeyId=k["KeyId"]) for k in boto3.client("kms").list_keys()["Keys"]
    ]
    left = {
        "VPCs": [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]],
        "NAT gateways": [g["NatGatewayId"] for g in gateways if g["State"] != "deleted"],
        "addresses": [address["AllocationId"] for address in ec2.describe_addresses()["Addresses"]],
        "clusters": boto3.client("eks").list_clusters()["clusters"],
        "databases": [
            d["DBInstanceIdentifier"] for d in boto3.client("rds").describe_db_instances()["DBInstances"]
        ],
        "repositories": [
            r["repositoryName"] for r in boto3.client("ecr").describe_repositories()["repositories"]
        ],
        "buckets": [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"] if b["Name"] != BUCKET],
        "secrets": [s["Name"] for s in boto3.client("secretsmanager").list_secrets()["SecretList"]],
        "topics": [t["TopicArn"] for t in boto3.client("sns").list_topics()["Topics"]],
        "alarms": [a["AlarmName"] for a in boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "log groups": [g["logGroupName"] for g in boto3.client("logs").describe_log_groups()["logGroups"]],
        "roles": [r["RoleName"] for r in iam.list_roles()["Roles"]],
        "policies": [p["PolicyName"] for p in iam.list_policies(Scope="Local")["Policies"]],
        "issuers": [p["Arn"] for p in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]],
        "keys": [k["KeyMetadata"]["Description"] for k in keys if k["KeyMetadata"]["KeyState"] == "Enabled"],
    }
    # Keys that AWS creates for its services are not Terraform's.
    left["keys"] = [description for description in left["keys"] if NAME in description]
    need(not any(left.values()), f"Left behind: { {kind: names for kind, names in left.items() if names} }")


# ---------------------------------------------------------------------------------------------------------


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"== {what}", end=" ", flush=True)
    try:
        yield
    except BaseException:
        print(f"FAILED after {time.monotonic() - began:.0f} s")
        raise
    print(f"({time.monotonic() - began:.0f} s)")


def lab(work: Path) -> None:
    # The values of the real environments (*.tfvars) are not copied either.
    left_out = shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfplan", "*.tfvars")
    shutil.copytree(HERE.parent / "terraform", work / "terraform", ignore=left_out)

    with stand_in() as port:
        env = surroundings(port)
        os.environ.update({name: value for name, value in env.items() if name.startswith("AWS_")})
        os.environ.pop("AWS_CA_BUNDLE", None)
        bootstrap = Terraform(work / "terraform" / "bootstrap", env)
        prod = Terraform(work / "terraform" / "environments" / "prod", env)
        try:
            steps(bootstrap, prod)
        finally:
            bootstrap.stop()
            prod.stop()


def steps(bootstrap: Terraform, prod: Terraform) -> None:
    with step("The state's bucket"):
        bootstrap.init()
        # The provider waits a minute for the bucket's clean-up rule, which nothing else depends on.
        making_bucket = bootstrap.start("apply", "-auto-approve")
        wait_for(lambda: bucket_is_guarded() or making_bucket.poll() is not None, "the bucket", seconds=180)
        need(bucket_is_guarded(), "The bucket is not guarded as it should be.")
        prod.init(f"-backend-config=bucket={BUCKET}", f"-backend-config=region={REGION}")

    with step("Production; meanwhile a second run is refused"):
        # A saved plan that is applied afterwards, as in the pipeline.
        output = prod("plan", "-out=plan")
        need("Check block assertion failed" in output, "The plan does not warn that alarms are missing.")
        making = prod.start("apply", "-parallelism=20", "plan")
        second_run_is_refused(prod, making)
        prod.finish(making)
        need(not exists(BUCKET, LOCK), "The lock was not given back.")

    with step("A second plan changes nothing"):
        prod("plan", "-detailed-exitcode", "-parallelism=20")

    with step("The subnets as the load balancer controller sees them"):
        outputs = outputs_are_strings(prod)
        check = [sys.executable, str(HERE / "load_balancer_subnets.py"), outputs["vpc_id"], NAME]
        seen = subprocess.run(check, capture_output=True, text=True, check=False)
        need(seen.returncode == 0, seen.stdout + seen.stderr)

    with step("What was promised of production"):
        promises_are_kept(outputs)

    with step("Alarms, once there is a load balancer"):
        arns = make_load_balancer(outputs["vpc_id"])
        # No refresh is needed, since the plan above has just read everything else.
        load_balancer_has_alarms(prod("apply", "-auto-approve", "-refresh=false"), arns)
        remove_load_balancer(arns)

    with step("Destruction that leaves nothing"):
        prod("destroy", "-auto-approve", "-refresh=false", "-parallelism=20")
        need("values" not in json.loads(prod("show", "-json")), "The state still holds something.")
        nothing_is_left()

    with step("The state's bucket is whole, and cannot be destroyed"):
        bootstrap.finish(making_bucket)
        bootstrap("plan", "-detailed-exitcode")
        output = bootstrap("plan", "-destroy", expect=1)
        need("Instance cannot be destroyed" in output, f"Refused for another reason:\n{output}")


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        try:
            lab(Path(work))
        except Wrong as wrong:
            sys.exit(f"\n{wrong}")
    print(f"Production was made, looked at and taken down in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()

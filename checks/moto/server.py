"""Runs a stand-in for AWS: moto's server with additions for this project.

    python checks/moto/server.py 127.0.0.1 5000

moto has neither access entries nor add-ons of EKS, and a few of its responses differ from AWS in fields that
the Terraform provider compares. Without each of the changes below, a plan never becomes empty or an apply
stops. The stand-in proves that Terraform's calls fit together, not that AWS would accept them: moto evaluates
hardly any policies and accepts invalid values.
"""

import os
import sys
import uuid
from datetime import UTC, datetime

# Without it AWS's managed policies do not exist, and attaching one fails.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.eks import urls as eks_urls
from moto.eks.exceptions import ResourceInUseException, ResourceNotFoundException
from moto.eks.models import Cluster, EKSBackend
from moto.eks.responses import EKSResponse
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.rds.models import DBInstance, DBParameterGroup
from werkzeug.serving import run_simple

# ---------------------------------------------------------------------------------------------------------
# EKS: responses about a cluster


def create_cluster(backend: EKSBackend, **asked) -> Cluster:
    """Create a cluster as moto does, with the security group that EKS creates for it."""
    cluster = moto_create_cluster(backend, **asked)
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    vpc_id = ec2.get_subnet(cluster.resources_vpc_config["subnetIds"][0]).vpc_id
    group = ec2.create_security_group(f"eks-cluster-sg-{cluster.name}", "Made by EKS", vpc_id)
    cluster.resources_vpc_config.update(clusterSecurityGroupId=group.id, vpcId=vpc_id)
    cluster.addons = {}
    cluster.access_entries = {}
    return cluster


def delete_cluster(backend: EKSBackend, name: str) -> Cluster:
    cluster = moto_delete_cluster(backend, name)
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    ec2.delete_security_group(group_id=cluster.resources_vpc_config["clusterSecurityGroupId"])
    return cluster


def answer_create_cluster(response: EKSResponse) -> ActionResult:
    """Add the access configuration and the upgrade policy, which moto drops."""
    answer = moto_answer_create_cluster(response)
    cluster = answer.result["cluster"]
    cluster.access_config = response._get_param("accessConfig")
    cluster.upgrade_policy = response._get_param("upgradePolicy")
    return answer


# ---------------------------------------------------------------------------------------------------------
# EKS: add-ons and access entries, which moto lacks


def cluster_of(response: EKSResponse) -> Cluster:
    return response.eks_backend.describe_cluster(
        name=response._get_param("name") or response._get_param("clusterName")
    )


def found(things: dict, key: str) -> dict:
    if key not in things:
        raise ResourceNotFoundException(
            clusterName=None,
            nodegroupName=None,
            fargateProfileName=None,
            addonName=None,
            message=f"No resource found: {key}",
        )
    return things[key]


def made(things: dict, key: str, thing: dict) -> dict:
    if key in things:
        raise ResourceInUseException(
            clusterName=None, nodegroupName=None, addonName=None, message=f"There already: {key}"
        )
    things[key] = thing
    return thing


def now() -> datetime:
    return datetime.now(tz=UTC)


def create_addon(response: EKSResponse) -> ActionResult:
    cluster, name = cluster_of(response), response._get_param("addonName")
    addon = {
        "addonName": name,
        "clusterName": cluster.name,
        "status": "ACTIVE",
        "addonVersion": response._get_param("addonVersion") or "v1.0.0-eksbuild.1",
        "addonArn": cluster.arn.replace(":cluster/", ":addon/") + f"/{name}/{uuid.uuid4()}",
        "configurationValues": response._get_param("configurationValues"),
        "tags": response._get_param("tags") or {},
        "health": {"issues": []},
        "createdAt": now(),
        "modifiedAt": now(),
    }
    return ActionResult({"addon": made(cluster.addons, name, addon)})


def describe_addon(response: EKSResponse) -> ActionResult:
    return ActionResult({"addon": found(cluster_of(response).addons, response._get_param("addonName"))})


def delete_addon(response: EKSResponse) -> ActionResult:
    cluster, name = cluster_of(response), response._get_param("addonName")
    found(cluster.addons, name)
    return ActionResult({"addon": cluster.addons.pop(name)})


def create_access_entry(response: EKSResponse) -> ActionResult:
    cluster, arn = cluster_of(response), response._get_param("principalArn")
    entry = {
        "clusterName": cluster.name,
        "principalArn": arn,
        "kubernetesGroups": response._get_param("kubernetesGroups") or [],
        "accessEntryArn": cluster.arn.replace(":cluster/", ":access-entry/") + f"/role/{uuid.uuid4()}",
        "username": response._get_param("username") or arn,
        "type": response._get_param("type") or "STANDARD",
        "tags": response._get_param("tags") or {},
        "createdAt": now(),
        "modifiedAt": now(),
    }
    made(cluster.access_entries, arn, {"entry": entry, "policies": {}})
    return ActionResult({"accessEntry": entry})


def describe_access_entry(response: EKSResponse) -> ActionResult:
    return ActionResult({"accessEntry": access_of(response)["entry"]})


def delete_access_entry(response: EKSResponse) -> ActionResult:
    access_of(response)
    del cluster_of(response).access_entries[response._get_param("principalArn")]
    return ActionResult({})


def access_of(response: EKSResponse) -> dict:
    return found(cluster_of(response).access_entries, response._get_param("principalArn"))


def associate_access_policy(response: EKSResponse) -> ActionResult:
    access, arn = access_of(response), response._get_param("policyArn")
    access["policies"][arn] = {
        "policyArn": arn,
        "accessScope": response._get_param("accessScope"),
        "associatedAt": now(),
        "modifiedAt": now(),
    }
    return ActionResult(
        {
            "clusterName": access["entry"]["clusterName"],
            "principalArn": access["entry"]["principalArn"],
            "associatedAccessPolicy": access["policies"][arn],
        }
    )


def list_associated_access_policies(response: EKSResponse) -> ActionResult:
    access = access_of(response)
    return ActionResult(
        {
            "clusterName": access["entry"]["clusterName"],
            "principalArn": access["entry"]["principalArn"],
            "associatedAccessPolicies": list(access["policies"].values()),
        }
    )


def disassociate_access_policy(response: EKSResponse) -> ActionResult:
    access, arn = access_of(response), response._get_param("policyArn")
    found(access["policies"], arn)
    del access["policies"][arn]
    return ActionResult({})


MORE_EKS_CALLS = [
    create_addon,
    describe_addon,
    delete_addon,
    create_access_entry,
    describe_access_entry,
    delete_access_entry,
    associate_access_policy,
    list_associated_access_policies,
    disassociate_access_policy,
]
# An ARN contains a slash, which has been decoded here.
MORE_EKS_PATHS = [
    "addons$",
    "addons/(?P<addonName>[^/]+)$",
    "access-entries$",
    "access-entries/(?P<principalArn>.+)$",
]

# ---------------------------------------------------------------------------------------------------------
# Responses in which moto differs from AWS


def rule_description(rule: SecurityGroupRule) -> str | None:
    """Return the description even for a rule that names another group, where moto drops it."""
    return rule.ip_range.get("Description") or rule.source_group.get("Description")


def update_parameters(group: DBParameterGroup, new_parameters: list) -> None:
    """Mark parameters as set by the user, as AWS does: the provider reads back only those."""
    moto_update_parameters(group, new_parameters)
    for parameter in group.parameters.values():
        parameter["Source"] = "user"


def make_database(database: DBInstance, *args, **asked) -> None:
    """Set Performance Insights and enhanced monitoring, which moto drops."""
    moto_make_database(database, *args, **asked)
    database.monitoring_interval = asked.get("monitoring_interval", 0)
    database.monitoring_role_arn = asked.get("monitoring_role_arn")
    database.performance_insights_enabled = asked.get("enable_performance_insights", False)
    database.performance_insights_retention_period = asked.get("performance_insights_retention_period", 7)


def is_action_permitted(statement: IAMPolicyStatement, *args, **asked) -> PermissionResult:
    """Ignore statements with a condition.

    moto treats a condition that it cannot evaluate as a denial. A bucket policy that only denies plain HTTP
    would deny everything.
    """
    if "Condition" in statement._statement:
        return PermissionResult.NEUTRAL
    return moto_is_action_permitted(statement, *args, **asked)


moto_create_cluster, EKSBackend.create_cluster = EKSBackend.create_cluster, create_cluster
moto_delete_cluster, EKSBackend.delete_cluster = EKSBackend.delete_cluster, delete_cluster
moto_answer_create_cluster, EKSResponse.create_cluster = EKSResponse.create_cluster, answer_create_cluster
moto_update_parameters, DBParameterGroup.update_parameters = (
    DBParameterGroup.update_parameters,
    update_parameters,
)
moto_make_database, DBInstance.__init__ = DBInstance.__init__, make_database
moto_is_action_permitted = IAMPolicyStatement.is_action_permitted
IAMPolicyStatement.is_action_permitted = is_action_permitted
SecurityGroupRule.description = property(rule_description)
for call in MORE_EKS_CALLS:
    setattr(EKSResponse, call.__name__, call)
for path in MORE_EKS_PATHS:
    eks_urls.url_paths["{0}/clusters/(?P<name>[^/]+)/" + path] = eks_urls.response.dispatch


if __name__ == "__main__":
    host, port = sys.argv[1], int(sys.argv[2])
    # moto sends requests to itself on this port.
    os.environ["MOTO_PORT"] = str(port)
    run_simple(host, port, DomainDispatcherApplication(create_backend_app), threaded=True)

# The cluster that the shop's pods run in: EKS with Fargate only, so there is no machine to patch. Each pod gets
# its own, in a private subnet.

locals {
  log_group = "/aws/eks/${var.name}/cluster"
}

# Encrypts Kubernetes' own secrets. A key of ours, since EKS takes no other.
resource "aws_kms_key" "secrets" {
  description             = "Kubernetes secrets of ${var.name}"
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheAccountDecidesByIam"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/${var.name}-kubernetes"
  target_key_id = aws_kms_key.secrets.key_id
}

# Made before the cluster: EKS would make it by itself, and keep everything for ever.
resource "aws_cloudwatch_log_group" "control_plane" {
  # checkov:skip=CKV_AWS_158:CloudWatch encrypts with its own key; nobody outside the account reads this group.
  # checkov:skip=CKV_AWS_338:Kept as long as an incident needs it, not a year; the variable allows more.
  name              = local.log_group
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "cluster" {
  name                 = "${var.name}-cluster"
  description          = "What EKS itself may do for ${var.name}"
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "eks.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "this" {
  # checkov:skip=CKV_AWS_38:GitHub's machines have no fixed addresses. Who gets in is decided by IAM and the access entries; the variable narrows the addresses.
  # checkov:skip=CKV_AWS_39:The pipeline reaches the Kubernetes API from outside the VPC.
  name     = var.name
  role_arn = aws_iam_role.cluster.arn
  version  = var.kubernetes_version

  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  # Fargate brings kube-proxy and the network plug-in with each pod, and CoreDNS comes as an add-on below.
  bootstrap_self_managed_addons = false

  vpc_config {
    subnet_ids              = var.private_subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.api_cidrs
  }

  # Access is what the entries below say: neither a ConfigMap nor whoever made the cluster adds to it.
  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }

  # At the end of a version's standard support AWS moves the cluster on, rather than charge six times as much.
  upgrade_policy {
    support_type = "STANDARD"
  }

  depends_on = [aws_cloudwatch_log_group.control_plane, aws_iam_role_policy_attachment.cluster]
}

# No thumbprint: AWS trusts its own certificate authorities here and ignores the list.
resource "aws_iam_openid_connect_provider" "pods" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_eks_access_entry" "administrators" {
  for_each = local.administrators

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value
  type          = "STANDARD"
}

resource "aws_eks_access_policy_association" "administrators" {
  for_each = local.administrators

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.administrators[each.key].principal_arn
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

locals {
  # Keys that are known before anything exists, since a role's ARN is not.
  administrators = merge(
    { deploy = var.deploy_role_arn },
    { for arn in var.administrator_role_arns : arn => arn },
  )
}

# The EKS cluster. It uses Fargate only, so there are no nodes to patch: each pod gets its own virtual machine in a
# private subnet.

locals {
  log_group = "/aws/eks/${var.name}/cluster"
}

# Encrypts Kubernetes secrets. EKS requires a customer-managed key.
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

# Created before the cluster: otherwise EKS creates it and keeps logs for ever.
resource "aws_cloudwatch_log_group" "control_plane" {
  # checkov:skip=CKV_AWS_158:CloudWatch encrypts with its own key; only this account reads the group.
  # checkov:skip=CKV_AWS_338:Kept as long as incidents need it, not a year; the variable allows more.
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
  # checkov:skip=CKV_AWS_38:GitHub's runners have no fixed addresses. IAM and access entries control access; the variable restricts addresses.
  # checkov:skip=CKV_AWS_39:The pipeline reaches the Kubernetes API from outside the VPC.
  name     = var.name
  role_arn = aws_iam_role.cluster.arn
  version  = var.kubernetes_version

  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  # Fargate includes kube-proxy and the network plug-in; CoreDNS is installed as an add-on below.
  bootstrap_self_managed_addons = false

  vpc_config {
    subnet_ids              = var.private_subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.api_cidrs
  }

  # Only the access entries below grant access, not a ConfigMap or having created the cluster.
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

  # When standard support of the version ends, AWS upgrades the cluster instead of charging for extended support.
  upgrade_policy {
    support_type = "STANDARD"
  }

  depends_on = [aws_cloudwatch_log_group.control_plane, aws_iam_role_policy_attachment.cluster]
}

# No thumbprint: AWS uses its own list of certificate authorities and ignores it.
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
  # The keys must be known at plan time; ARNs of roles are not.
  administrators = merge(
    { deploy = var.deploy_role_arn },
    { for arn in var.administrator_role_arns : arn => arn },
  )
}

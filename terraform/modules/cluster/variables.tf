variable "name" {
  description = "Name of the cluster and prefix of all names in this module, such as lori-books-prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.name))
    error_message = "name must have 4 to 32 characters: lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen."
  }
}

variable "account_id" {
  description = "The id of the AWS account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be the 12 digits of an AWS account."
  }
}

variable "region" {
  description = "AWS region, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region must be a region of AWS's commercial partition, such as eu-central-1."
  }
}

variable "kubernetes_version" {
  description = "Version of Kubernetes. It can be raised by one minor version at a time, and never lowered."
  type        = string
  default     = "1.35"
  nullable    = false

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be 1.33 or later, without a patch number, such as 1.35."
  }
}

variable "vpc_id" {
  description = "The cluster's VPC."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "private_subnet_ids" {
  description = "Private subnets for all pods; Fargate requires private ones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.private_subnet_ids)) >= 2 && alltrue([for id in var.private_subnet_ids : can(regex("^subnet-[0-9a-z]+$", id))])
    error_message = "private_subnet_ids must be ids of at least two different subnets, such as subnet-0123456789abcdef0."
  }
}

variable "api_cidrs" {
  description = "IP ranges that may reach the Kubernetes API from outside the VPC."
  type        = set(string)
  default     = ["0.0.0.0/0"]
  nullable    = false

  validation {
    condition     = length(var.api_cidrs) > 0 && alltrue([for cidr in var.api_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "api_cidrs must be at least one range of IPv4 addresses, such as 203.0.113.0/24."
  }
}

variable "namespace" {
  description = "Namespace of the shop's pods."
  type        = string
  default     = "lori-books"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace)) && var.namespace != "kube-system"
    error_message = "namespace must be a name of Kubernetes (1 to 63 lower-case letters, digits and hyphens) other than kube-system."
  }
}

variable "service_account" {
  description = "Service account of the shop's pods, the only one that may assume the app's role."
  type        = string
  default     = "lori-books"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.service_account))
    error_message = "service_account must be a name of Kubernetes: 1 to 63 lower-case letters, digits and hyphens."
  }
}

variable "log_group_arn" {
  description = "Log group of the pods."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:logs:[a-z0-9-]+:[0-9]{12}:log-group:[^*]+$", var.log_group_arn))
    error_message = "log_group_arn must be the ARN of a log group, without :* at its end."
  }
}

variable "log_retention_days" {
  description = "Days for which the control plane's log is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "deploy_role_arn" {
  description = "Role of the pipeline, which administers the cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:role/.+$", var.deploy_role_arn))
    error_message = "deploy_role_arn must be the ARN of an IAM role."
  }
}

variable "administrator_role_arns" {
  description = "IAM roles of the cluster's administrators. Without one, only the pipeline has access."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.administrator_role_arns : can(regex("^arn:aws:iam::[0-9]{12}:role/.+$", arn))])
    error_message = "administrator_role_arns must be ARNs of IAM roles."
  }
}

variable "app_secret_arns" {
  description = "Secrets that the shop reads: the database's and its own."
  type        = list(string)

  validation {
    condition     = length(var.app_secret_arns) > 0 && alltrue([for arn in var.app_secret_arns : can(regex("^arn:aws:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^*]+$", arn))])
    error_message = "app_secret_arns must be ARNs of secrets, at least one, without wildcards."
  }
}

variable "media_bucket_arn" {
  description = "The bucket of the covers."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:s3:::[a-z0-9.-]+$", var.media_bucket_arn))
    error_message = "media_bucket_arn must be the ARN of a bucket."
  }
}

variable "mail_from" {
  description = "The only sender address that the shop may use, without a name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9._+-]+@[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.mail_from))
    error_message = "mail_from must be a bare e-mail address without a name, such as books@example.org."
  }
}

variable "addon_versions" {
  description = "Versions of the add-ons; null selects AWS's default for the cluster's version at creation."
  type = object({
    coredns        = optional(string)
    metrics_server = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for version in values(var.addon_versions) : version == null || can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", version))])
    error_message = "addon_versions must be versions of EKS add-ons, such as v1.12.4-eksbuild.1, or null."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of this module's roles; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, or null."
  }
}

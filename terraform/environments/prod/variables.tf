variable "region" {
  description = "AWS region of all resources, such as eu-central-1."
  type        = string
  default     = "eu-central-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region must be a region of AWS's commercial partition, such as eu-central-1."
  }
}

variable "zones" {
  description = "The three availability zones. Never change their order: it determines the addresses of the subnets."
  type        = list(string)
  default     = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nullable    = false

  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3 && alltrue([for zone in var.zones : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "zones must name three different availability zones of the region, such as eu-central-1a."
  }
}

variable "site_host" {
  description = "Host name of the shop, such as books.example.org."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", var.site_host))
    error_message = "site_host must be a host name in lower case without a scheme or path, such as books.example.org."
  }
}

variable "certificate_arn" {
  description = "Issued certificate for site_host in Certificate Manager, in the same region."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:acm:${var.region}:[0-9]{12}:certificate/[0-9a-f-]+$", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of a certificate in the region, such as arn:aws:acm:eu-central-1:123456789012:certificate/…"
  }
}

variable "github_repository" {
  description = "GitHub repository whose workflows may plan and deploy, as ORG/REPO."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$", var.github_repository))
    error_message = "github_repository must be ORG/REPO as GitHub writes it, without wildcards."
  }
}

variable "create_oidc_provider" {
  description = "Whether this environment creates GitHub's OIDC provider: true in one environment per AWS account, false in the others."
  type        = bool
  default     = false
  nullable    = false
}

variable "alarm_email" {
  description = "E-mail address that gets alarms. AWS sends it a request to confirm the subscription."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.alarm_email))
    error_message = "alarm_email must be a bare e-mail address, such as alarms@example.org."
  }
}

variable "mail_from" {
  description = "Sender address of the shop's mail, without a name; null for books@ plus site_host. It or its domain must be verified in SES."
  type        = string
  default     = null

  validation {
    condition     = var.mail_from == null || can(regex("^[A-Za-z0-9._+-]+@[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.mail_from))
    error_message = "mail_from must be a bare e-mail address without a name, such as books@example.org, or null."
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

variable "api_cidrs" {
  description = "IP ranges that may reach the Kubernetes API from outside the VPC; GitHub's hosted runners have no fixed addresses."
  type        = set(string)
  default     = ["0.0.0.0/0"]
  nullable    = false

  validation {
    condition     = length(var.api_cidrs) > 0 && alltrue([for cidr in var.api_cidrs : can(cidrhost(cidr, 0)) && !strcontains(cidr, ":")])
    error_message = "api_cidrs must be at least one range of IPv4 addresses, such as 203.0.113.0/24."
  }
}

variable "registry_reader_account_ids" {
  description = "Other AWS accounts that may pull images from this environment's repository, such as production's from staging's."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.registry_reader_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "registry_reader_account_ids must be numbers of AWS accounts, 12 digits each."
  }
}

variable "app_secret_version" {
  description = "Increase by one to replace SECRET_KEY and METRICS_TOKEN; this signs out all members."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.app_secret_version >= 1 && floor(var.app_secret_version) == var.app_secret_version
    error_message = "app_secret_version must be a whole number, 1 or more."
  }
}

variable "secret_recovery_days" {
  description = "Days for which a deleted secret can be restored; 0 deletes it at once."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains(concat([0], range(7, 31)), var.secret_recovery_days)
    error_message = "secret_recovery_days must be 0, or a whole number from 7 to 30."
  }
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the database. Turn it off only to destroy the environment."
  type        = bool
  default     = true
  nullable    = false
}

variable "final_snapshot" {
  description = "Whether to take a final snapshot when the database is deleted."
  type        = bool
  default     = true
  nullable    = false
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

variable "log_retention_days" {
  description = "Days for which the logs of the shop, cluster, database and network are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

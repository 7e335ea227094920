variable "name" {
  description = "Name prefix of the environment's resources, such as lori-books-prod."
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

variable "zones" {
  description = "The three availability zones. Never change their order: it determines the addresses of the subnets."
  type        = list(string)

  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3
    error_message = "zones must name three different availability zones."
  }

  validation {
    condition     = alltrue([for zone in var.zones : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "zones must lie in the region: each is the region's name and one letter, such as eu-central-1a."
  }
}

variable "cidr" {
  description = "Private IPv4 range of the VPC, a /16."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("^(10\\.[0-9]+|172\\.(1[6-9]|2[0-9]|3[01])|192\\.168)\\.0\\.0/16$", var.cidr))
    error_message = "cidr must be a private /16, such as 10.20.0.0/16 (10.x, 172.16 to 172.31, or 192.168)."
  }
}

variable "cluster_name" {
  description = "Name of the EKS cluster, which finds its subnets by tag."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name must have 1 to 100 letters, digits, hyphens and underscores, beginning with a letter or digit."
  }
}

variable "nat_per_zone" {
  description = "Whether each zone has its own NAT gateway. With a single one, a failure of its zone cuts off all pods from the internet."
  type        = bool
  default     = true
  nullable    = false
}

variable "endpoints_per_zone" {
  description = "Whether all zones have interfaces of the endpoints, or only the first."
  type        = bool
  default     = true
  nullable    = false
}

variable "interface_endpoints" {
  description = "AWS services with an interface endpoint in the VPC."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sts"]
  nullable    = false

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z][a-z0-9.-]+$", service)) && service != "s3"])
    error_message = "interface_endpoints must be names of AWS services such as ecr.api; s3 has its own gateway endpoint."
  }
}

variable "flow_log_retention_days" {
  description = "Days for which the VPC's flow log is kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.flow_log_retention_days)
    error_message = "flow_log_retention_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of this module's role; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:aws:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, or null."
  }
}

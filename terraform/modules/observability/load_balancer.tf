# The controller in the cluster creates the load balancer, not Terraform. The first apply therefore creates no alarms,
# and the check below warns. Once the ingress has its load balancer, the next apply finds it by the controller's tags
# and adds the alarms.
#
# If the load balancer is lost later, the alarms stay until the next apply: "no healthy target" treats missing data as
# a breach, and the plan of that apply shows the alarms as destroyed.

data "aws_resourcegroupstaggingapi_resources" "load_balancer" {
  resource_type_filters = ["elasticloadbalancing:loadbalancer"]

  tag_filter {
    key    = "elbv2.k8s.aws/cluster"
    values = [var.name]
  }

  tag_filter {
    key    = "ingress.k8s.aws/stack"
    values = [var.ingress]
  }
}

data "aws_resourcegroupstaggingapi_resources" "target_group" {
  resource_type_filters = ["elasticloadbalancing:targetgroup"]

  tag_filter {
    key    = "elbv2.k8s.aws/cluster"
    values = [var.name]
  }

  tag_filter {
    key    = "ingress.k8s.aws/stack"
    values = [var.ingress]
  }
}

locals {
  load_balancer_arns = data.aws_resourcegroupstaggingapi_resources.load_balancer.resource_tag_mapping_list[*].resource_arn
  target_group_arns  = data.aws_resourcegroupstaggingapi_resources.target_group.resource_tag_mapping_list[*].resource_arn

  # CloudWatch identifies a load balancer as app/NAME/ID and a target group as targetgroup/NAME/ID.
  load_balancers = sort([for arn in local.load_balancer_arns : replace(arn, "/^.*:loadbalancer\\//", "")])
  target_groups  = toset([for arn in local.target_group_arns : replace(arn, "/^.*:targetgroup\\//", "targetgroup/")])

  # An ingress has one load balancer. Its alarms use count, not for_each by name: if the controller replaces it, they
  # are updated in place. Otherwise the old alarm would be deleted after the new one of the same name was created.
  load_balancer  = try(local.load_balancers[0], null)
  watched        = local.load_balancer == null ? 0 : 1
  watched_groups = local.load_balancer == null ? toset([]) : local.target_groups
}

check "load_balancer_found" {
  assert {
    condition     = length(local.load_balancers) == 1
    error_message = "Found ${length(local.load_balancers)} load balancers of the ingress ${var.ingress} in the cluster ${var.name}, expected one. Before the first deployment there is none: apply again after it, since the alarms for 5xx, latency and unhealthy targets hang on it."
  }
}

resource "aws_cloudwatch_metric_alarm" "server_errors" {
  count = local.watched

  alarm_name          = "${var.name}-5xx"
  alarm_description   = "More than ${var.error_alarm_percent} % of the answers were server errors for 5 minutes: read the shop's log for ERROR, then think of a roll-back."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.error_alarm_percent
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "percent"
    label       = "Answers that were server errors, in percent"
    expression  = "IF(answers > 20, 100 * (FILL(shop, 0) + FILL(balancer, 0)) / answers, 0)"
    return_data = true
  }

  metric_query {
    id = "shop"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_Target_5XX_Count"
      dimensions  = { LoadBalancer = local.load_balancer }
      stat        = "Sum"
      period      = 60
    }
  }

  metric_query {
    id = "balancer"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_ELB_5XX_Count"
      dimensions  = { LoadBalancer = local.load_balancer }
      stat        = "Sum"
      period      = 60
    }
  }

  metric_query {
    id = "answers"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      dimensions  = { LoadBalancer = local.load_balancer }
      stat        = "Sum"
      period      = 60
    }
  }

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  count = local.watched

  alarm_name          = "${var.name}-latency"
  alarm_description   = "One answer in twenty took longer than ${var.latency_alarm_seconds} s for 15 minutes: look at the database first, then at the number of pods."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = { LoadBalancer = local.load_balancer }
  extended_statistic  = "p95"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.latency_alarm_seconds
  treat_missing_data  = "notBreaching"

  # With few requests, as at night, a single slow response is not significant.
  evaluate_low_sample_count_percentiles = "ignore"

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "unhealthy_targets" {
  for_each = local.watched_groups

  alarm_name          = "${var.name}-unhealthy-${split("/", each.key)[1]}"
  alarm_description   = "A pod has failed its health check for 5 minutes: its /readyz says what is missing."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = { LoadBalancer = local.load_balancer, TargetGroup = each.key }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "no_healthy_target" {
  for_each = local.watched_groups

  alarm_name          = "${var.name}-down-${split("/", each.key)[1]}"
  alarm_description   = "The load balancer has no healthy pod, or is gone: the shop is down."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HealthyHostCount"
  dimensions          = { LoadBalancer = local.load_balancer, TargetGroup = each.key }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]
}

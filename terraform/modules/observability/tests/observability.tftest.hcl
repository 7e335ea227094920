mock_provider "aws" {
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:lori-books-prod-alarms" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000000" }
  }

  mock_data "aws_resourcegroupstaggingapi_resources" {
    defaults = { resource_tag_mapping_list = [] }
  }
}

variables {
  name                 = "lori-books-prod"
  account_id           = "123456789012"
  region               = "eu-central-1"
  alarm_email          = "alarms@example.org"
  database_instance_id = "lori-books-prod"
}

run "before_there_is_a_load_balancer" {
  # The plan warns about it.
  expect_failures = [check.load_balancer_found]

  assert {
    condition     = length(output.load_balancer_alarm_names) == 0
    error_message = "An alarm on a load balancer that is not there."
  }

  assert {
    condition     = anytrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.type == "text"])
    error_message = "The dashboard does not say that the load balancer is missing."
  }
}

run "topic" {
  expect_failures = [check.load_balancer_found]

  assert {
    condition     = aws_sns_topic_subscription.email.topic_arn == aws_sns_topic.alarms.arn && aws_sns_topic_subscription.email.protocol == "email" && aws_sns_topic_subscription.email.endpoint == "alarms@example.org"
    error_message = "Nobody is told of alarms."
  }

  assert {
    condition = alltrue([for policy in [aws_sns_topic_policy.alarms.policy, aws_kms_key.alarms.policy] :
      anytrue([for statement in jsondecode(policy).Statement : try(toset(statement.Principal.Service), null) == toset(["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"])])
    ])
    error_message = "Alarms or database events cannot reach the topic, or cannot encrypt for it."
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == aws_kms_key.alarms.arn
    error_message = "The topic is not encrypted with the key that its publishers may use."
  }

  assert {
    condition     = aws_db_event_subscription.this.sns_topic == aws_sns_topic.alarms.arn && aws_db_event_subscription.this.source_ids == toset(["lori-books-prod"]) && contains(aws_db_event_subscription.this.event_categories, "failover")
    error_message = "Nobody is told of a failover."
  }

  assert {
    condition     = aws_cloudwatch_log_group.app.retention_in_days == 30
    error_message = "The shop's log is kept for ever, or not at all."
  }
}

run "once_there_is_a_load_balancer" {
  override_data {
    target = data.aws_resourcegroupstaggingapi_resources.load_balancer
    values = {
      resource_tag_mapping_list = [{ resource_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/k8s-loribook-abc/50dc6c495c0c9188" }]
    }
  }

  override_data {
    target = data.aws_resourcegroupstaggingapi_resources.target_group
    values = {
      resource_tag_mapping_list = [{ resource_arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/k8s-loribook-def/73e2d6bc24d8a067" }]
    }
  }

  assert {
    condition = output.load_balancer_alarm_names == tolist([
      "lori-books-prod-5xx",
      "lori-books-prod-down-k8s-loribook-def",
      "lori-books-prod-latency",
      "lori-books-prod-unhealthy-k8s-loribook-def",
    ])
    error_message = "An alarm on the load balancer is missing."
  }

  assert {
    condition = alltrue([for alarm in concat(
      aws_cloudwatch_metric_alarm.server_errors,
      aws_cloudwatch_metric_alarm.latency,
      values(aws_cloudwatch_metric_alarm.unhealthy_targets),
      values(aws_cloudwatch_metric_alarm.no_healthy_target),
    ) : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn]) && alarm.ok_actions == toset([aws_sns_topic.alarms.arn]) && alarm.actions_enabled != false])
    error_message = "An alarm tells nobody."
  }

  assert {
    condition = toset([for query in aws_cloudwatch_metric_alarm.server_errors[0].metric_query : "${query.metric[0].metric_name} of ${query.metric[0].dimensions["LoadBalancer"]}" if length(query.metric) > 0]) == toset([
      "HTTPCode_ELB_5XX_Count of app/k8s-loribook-abc/50dc6c495c0c9188",
      "HTTPCode_Target_5XX_Count of app/k8s-loribook-abc/50dc6c495c0c9188",
      "RequestCount of app/k8s-loribook-abc/50dc6c495c0c9188",
    ])
    error_message = "Server errors are counted elsewhere."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.latency[0].metric_name == "TargetResponseTime" && aws_cloudwatch_metric_alarm.latency[0].dimensions == tomap({ LoadBalancer = "app/k8s-loribook-abc/50dc6c495c0c9188" })
    error_message = "Latency is measured elsewhere."
  }

  assert {
    condition = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.unhealthy_targets), values(aws_cloudwatch_metric_alarm.no_healthy_target)) : alarm.dimensions == tomap({
      LoadBalancer = "app/k8s-loribook-abc/50dc6c495c0c9188"
      TargetGroup  = "targetgroup/k8s-loribook-def/73e2d6bc24d8a067"
    })])
    error_message = "Targets are counted elsewhere."
  }

  # A load balancer that does not exist sends no data, which must not count as healthy.
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.no_healthy_target : alarm.treat_missing_data == "breaching" && alarm.comparison_operator == "LessThanThreshold" && alarm.threshold == 1])
    error_message = "A lost load balancer raises no alarm."
  }

  assert {
    condition     = alltrue([for widget in jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets : widget.type != "text"]) && strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "app/k8s-loribook-abc/50dc6c495c0c9188")
    error_message = "The dashboard does not show the load balancer."
  }
}

run "looks_for_this_cluster_only" {
  expect_failures = [check.load_balancer_found]

  assert {
    condition = alltrue([for filters in [
      data.aws_resourcegroupstaggingapi_resources.load_balancer.tag_filter,
      data.aws_resourcegroupstaggingapi_resources.target_group.tag_filter,
    ] : sort([for filter in filters : "${filter.key}=${join(",", filter.values)}"]) == tolist(["elbv2.k8s.aws/cluster=lori-books-prod", "ingress.k8s.aws/stack=lori-books/lori-books"])])
    error_message = "Another cluster's load balancer could be taken for this one's."
  }
}

run "refuses_an_address_that_is_none" {
  command = plan

  variables { alarm_email = "nobody" }

  expect_failures = [var.alarm_email, check.load_balancer_found]
}

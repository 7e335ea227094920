output "alarm_topic_arn" {
  description = "The topic that alarms go to."
  value       = aws_sns_topic.alarms.arn

  # Whoever sets an alarm on the topic wants it to be able to publish.
  depends_on = [aws_sns_topic_policy.alarms]
}

output "log_group_name" {
  description = "The log group of the shop's pods."
  value       = aws_cloudwatch_log_group.app.name
}

output "log_group_arn" {
  description = "The log group of the shop's pods, as ARN."
  value       = aws_cloudwatch_log_group.app.arn
}

output "load_balancer_alarm_names" {
  description = "Names of the alarms on the load balancer; empty until it is there."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.server_errors : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.latency : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.unhealthy_targets : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.no_healthy_target : alarm.alarm_name],
  ))
}

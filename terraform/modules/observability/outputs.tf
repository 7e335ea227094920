output "alarm_topic_arn" {
  description = "SNS topic of the alarms."
  value       = aws_sns_topic.alarms.arn

  # What uses the topic is created after the policy that allows it to publish.
  depends_on = [aws_sns_topic_policy.alarms]
}

output "log_group_name" {
  description = "Name of the log group of the shop's pods."
  value       = aws_cloudwatch_log_group.app.name
}

output "log_group_arn" {
  description = "ARN of the log group of the shop's pods."
  value       = aws_cloudwatch_log_group.app.arn
}

output "load_balancer_alarm_names" {
  description = "Names of the load balancer's alarms; empty until it exists."
  value = sort(concat(
    [for alarm in aws_cloudwatch_metric_alarm.server_errors : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.latency : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.unhealthy_targets : alarm.alarm_name],
    [for alarm in aws_cloudwatch_metric_alarm.no_healthy_target : alarm.alarm_name],
  ))
}

output "host" {
  description = "Host name of the database; after a failover it resolves to the other instance."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the database."
  value       = aws_db_instance.this.port
}

output "database_name" {
  description = "Name of the database inside PostgreSQL."
  value       = aws_db_instance.this.db_name
}

output "secret_arn" {
  description = "Secret with username and password, created and rotated by RDS."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "instance_id" {
  description = "Identifier of the instance, for alarms, events and snapshots."
  value       = aws_db_instance.this.identifier
}

output "alarm_names" {
  description = "Names of the database's alarms."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}

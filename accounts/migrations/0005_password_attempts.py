"""Adds a table for the counts of wrong passwords, which were in the cache."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_token_families"),
    ]

    operations = [
        migrations.CreateModel(
            name="PasswordAttempts",
            fields=[
                ("key", models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                ("failures", models.PositiveIntegerField()),
                ("most", models.PositiveIntegerField()),
                ("ends", models.BigIntegerField()),
                ("known_until", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "password attempts",
                "verbose_name_plural": "password attempts",
            },
        ),
    ]

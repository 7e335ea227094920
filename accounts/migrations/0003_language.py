"""Adds the language of an account's pages and mail."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_cache_table"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="language",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of pages and mail. Empty: the shop's own.",
                max_length=10,
                verbose_name="language",
            ),
        ),
    ]

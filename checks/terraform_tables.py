"""Generates the tables of variables and outputs in terraform/README.md from the Terraform files.

python checks/terraform_tables.py            writes them
python checks/terraform_tables.py --check    exits with 1 if they are out of date
"""

import re
import sys
from pathlib import Path

TERRAFORM = Path(__file__).parent.parent / "terraform"
README = TERRAFORM / "README.md"
BEGIN, END = "<!-- tables: make them by checks/terraform_tables.py -->", "<!-- end of tables -->"
BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


def blocks(folder: Path, kind: str) -> dict[str, str]:
    text = "".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    return {name: body for found, name, body in BLOCK.findall(text) if found == kind}


def said(body: str, what: str) -> str:
    """Return the texts of all occurrences of an argument, joined."""
    return " ".join(re.findall(rf'^ +{what} += "(.*)"$', body, re.MULTILINE)).replace('\\"', '"')


def default(body: str) -> str:
    if not (found := re.search(r"^  default +=(.*?)(?=^  \w|\n\n|\Z)", body, re.MULTILINE | re.DOTALL)):
        return "none: must be given"
    return f"`{' '.join(found[1].split())}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def table(folder: Path) -> list[str]:
    lines = ["| variable | what it is | default | allowed |", "| --- | --- | --- | --- |"]
    for name, body in blocks(folder, "variable").items():
        if not (description := said(body, "description")):
            sys.exit(f"The variable {name} of {folder} has no description.")
        is_choice = re.search(r"^  type += bool$", body, re.MULTILINE)
        if not (allowed := said(body, "error_message")) and not is_choice:
            sys.exit(f"The variable {name} of {folder} has no validation that says what is allowed.")
        lines.append(
            f"| `{name}` | {cell(description)} | {default(body)} | {cell(allowed or 'true or false')} |"
        )
    lines += ["", "| output | what it is |", "| --- | --- |"]
    for name, body in blocks(folder, "output").items():
        if not (description := said(body, "description")):
            sys.exit(f"The output {name} of {folder} has no description.")
        lines.append(f"| `{name}` | {cell(description)} |")
    return lines


def tables() -> str:
    prod, staging = TERRAFORM / "environments" / "prod", TERRAFORM / "environments" / "staging"
    if blocks(prod, "variable").keys() != blocks(staging, "variable").keys():
        sys.exit("The environments have different variables.")
    lines = ["### environments/prod and environments/staging", ""]
    lines += ["Both have the same, but `create_oidc_provider` is on by default in staging.", "", *table(prod)]
    lines += ["", "### bootstrap", "", *table(TERRAFORM / "bootstrap")]
    for folder in sorted((TERRAFORM / "modules").iterdir()):
        lines += ["", f"### modules/{folder.name}", "", *table(folder)]
    return "\n".join(lines)


def main() -> None:
    text = README.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README} has no place for the tables, between {BEGIN} and {END}")
    new = f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"
    if new == text:
        return
    if "--check" in sys.argv:
        sys.exit("terraform/README.md is not up to date: run checks/terraform_tables.py")
    README.write_text(new)


if __name__ == "__main__":
    main()

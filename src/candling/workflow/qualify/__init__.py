"""Qualify from tables, and write what was found: a report to sign, JSON, a table of containers; judges nothing."""

from candling.workflow.qualify.facts import csv_lines, json_text, to_json
from candling.workflow.qualify.inspected import InspectedKit, inspect_kit, qualify_bundle
from candling.workflow.qualify.page import render_page
from candling.workflow.qualify.provenance import Provenance, provenance_of_tables
from candling.workflow.qualify.written import qualify_tables, write_qualification

__all__ = [
    "InspectedKit",
    "Provenance",
    "csv_lines",
    "inspect_kit",
    "json_text",
    "provenance_of_tables",
    "qualify_bundle",
    "qualify_tables",
    "render_page",
    "to_json",
    "write_qualification",
]

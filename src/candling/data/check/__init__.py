"""The data-set doctor: what is wrong with a set of images, before anything is learnt from it; names only."""

from candling.data.check.findings import CheckReport, Finding, Severity
from candling.data.check.page import write_html
from candling.data.check.run import check

__all__ = ["CheckReport", "Finding", "Severity", "check", "write_html"]

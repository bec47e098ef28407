"""The study's report: one page, one PDF, every table and figure as a file, two checklists."""

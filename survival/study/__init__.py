"""The questions a study asks of a frozen score, one a file.

Each takes the patients of one stratum and what was fixed beforehand (`plan.Plan`), and answers with
tables and figures (`stratum.Answer`). `survival.analysis` asks them all.
"""

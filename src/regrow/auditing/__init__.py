"""What is really open about a model: facts, rules, verdicts, lineage, licences, bills of materials.

Facts are collected (``collectors``), the lineage is traced (``tracing``), licences are concluded and inherited along it
(``licences``), what the maker claims is compared with what is there (``claims``), rules are judged (``rules``), and
``auditing`` puts all of it together into the one object that ``outputs`` draws in every format. ``lineage`` says how
models can be made from each other and walks over them for all of these.
"""

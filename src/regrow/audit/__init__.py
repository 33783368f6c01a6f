"""What is really open about a model: facts, rules, verdicts, lineage, licences, bills of materials.

Facts are collected (``collectors``), the lineage is traced (``lineage``), licences are read and carried along it
(``licences``), what the maker claims is held against what is there (``claims``), rules are judged (``rules``), and
``auditing`` puts all of it together into the one object that ``outputs`` draws in every format.
"""

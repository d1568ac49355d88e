"""What does a chart show?

Columns and labels of the explorer's and the report's charts, one file a chart or a family, of what ``views`` select:
computed here, so that page, report and figure cannot differ. May import ``core``, ``runs``, ``statistics`` and
``views``.
"""

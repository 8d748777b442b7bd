"""The steps from an empty database to the tables of ``sql_schema``, for Alembic.

Owns nothing but the steps below ``versions``. A step that was delivered is never changed; the next one
follows it, and ``sql_schema.HEAD`` names the last.
"""

"""Rows about exports of the whole catalogue: `run.py` runs them while the sample still has one page of products."""

from tests.store.design.harness import plain

plain("GET /v1/analytics/prices/export", lambda h: h.admin.get("/v1/analytics/prices/export"))

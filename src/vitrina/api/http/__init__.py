"""HTTP itself: requests, responses, problems, headers and pages. Nothing here knows a product."""

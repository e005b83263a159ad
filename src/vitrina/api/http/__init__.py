"""The protocol: requests, answers, errors, headers, pages. Nothing here knows a product."""

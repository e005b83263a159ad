"""Links between the documents and into the code resolve."""

import pytest

from tests.documents.pages import PAGES, anchors, links


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_resolves(page: str) -> None:
    for path, anchor in links(page):
        assert path.exists(), f"{page} links to {path}"
        assert not anchor or anchor in anchors(path), f"{page} links to {path}#{anchor}"

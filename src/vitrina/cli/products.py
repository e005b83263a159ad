"""`vitrina products`: the catalogue from files, and into one."""

from typing import Final

from vitrina.cli import LazyGroup

products: Final = LazyGroup(
    name="products",
    help="Bring products in from files, and write the catalogue into one.",
    commands={
        "import": (
            "vitrina.cli.product_import:import_products",
            "Create and update products from a CSV or JSON Lines.",
        ),
        "export": ("vitrina.cli.product_export:export", "Write all live products as CSV or JSON Lines."),
    },
)

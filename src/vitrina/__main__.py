"""The command line: `vitrina`, or `python -m vitrina`."""

import click

from vitrina.cli import LazyGroup

products = {
    "import": ("vitrina.cli.product_import:import_products", "Create and update products from CSV or JSON Lines."),
    "export": ("vitrina.cli.product_export:export", "Write all products as CSV or JSON Lines."),
}
prices = {
    "export": ("vitrina.cli.price_export:export", "Write each price that was in force, one row a price."),
}
views = {
    "rollup": ("vitrina.cli.view_reports:rollup", "Count the views of closed days."),
    "export": ("vitrina.cli.view_export:export", "Write views as files, one row per view."),
    "report": ("vitrina.cli.view_reports:report", "Write a page of charts."),
}
commands: dict[str, tuple[str, str] | LazyGroup] = {
    "api": ("vitrina.cli.api:api", "Serve the HTTP API."),
    "relay": ("vitrina.cli.workers:relay", "Copy price changes from the stream to the queue."),
    "notifier": ("vitrina.cli.workers:notifier", "Notify admins of price changes, by inbox and by mail."),
    "queue": ("vitrina.cli.queue:queue", "Create and monitor the queue; manage its dead letters."),
    "table": ("vitrina.cli.table:table", "Create, describe, migrate and check the table."),
    "products": LazyGroup("products", "Import and export products.", products),
    "prices": LazyGroup("prices", "Export the history of prices.", prices),
    "keys": ("vitrina.cli.keys:keys", "List and rotate the keys that sign tokens."),
    "users": ("vitrina.cli.users:users", "Create and remove super_admins."),
    "views": LazyGroup("views", "Roll up, report and export the history of views.", views),
    "openapi": ("vitrina.cli.api:openapi", "Print the OpenAPI document."),
}
exit_codes = (
    "Exit codes: 0 success; 1 the work failed or found problems; 2 an argument or a setting is invalid. Settings are "
    "variables of the environment or of a file .env in the current directory."
)
main = LazyGroup("vitrina", "An asynchronous product catalogue on one DynamoDB table.", commands, epilog=exit_codes)

click.version_option(package_name="vitrina")(main)

if __name__ == "__main__":
    main()

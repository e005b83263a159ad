"""The command line: `vitrina`, or `python -m vitrina`."""

import click

from vitrina.cli import LazyGroup

main = LazyGroup(
    name="vitrina",
    help="An asynchronous product catalogue on one DynamoDB table.",
    commands={
        "api": ("vitrina.cli.api:api", "Serve the HTTP API."),
        "relay": ("vitrina.cli.relay:relay", "Send changed prices from the table's stream to the queue."),
        "notifier": ("vitrina.cli.notifier:notifier", "Tell admins of changed prices, in their inbox and by mail."),
        "queue": ("vitrina.cli.queue:queue", "Make and watch the queue; list, replay and purge its dead letters."),
        "table": ("vitrina.cli.table:table", "Make, describe, migrate and check the table."),
        "products": ("vitrina.cli.products:products", "Import and export products."),
        "users": ("vitrina.cli.users:users", "Make and remove super_admins."),
        "views": ("vitrina.cli.views:views", "Roll up, report and export the history of views."),
        "openapi": ("vitrina.cli.openapi:openapi", "Print the OpenAPI document."),
    },
)

click.version_option(package_name="vitrina")(main)

if __name__ == "__main__":
    main()

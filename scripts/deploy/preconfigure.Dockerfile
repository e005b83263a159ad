# The packages of the service without the service: they change with the lock files only, so one base serves many releases.
#   docker build --file scripts/deploy/preconfigure.Dockerfile --tag vitrina-base .
# With --build-arg PACKAGES=server it has no reports and exports and is half as large; PACKAGES="reports tracing" adds tracing.
FROM python:3.13.12-slim-bookworm AS packages
RUN python -m venv --without-pip /opt/vitrina
COPY scripts/requirements/server.txt scripts/requirements/reports.txt scripts/requirements/tracing.txt /locks/
ARG PACKAGES=reports
RUN --mount=type=cache,target=/root/.cache/pip \
    for lock in $PACKAGES; do \
        pip --python /opt/vitrina/bin/python install --no-deps --require-hashes --requirement "/locks/$lock.txt" || exit; \
    done

FROM python:3.13.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home vitrina
COPY --from=packages /opt/vitrina /opt/vitrina
ENV PATH=/opt/vitrina/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
